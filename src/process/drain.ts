import type { Server } from 'node:http'
import type { Socket } from 'node:net'

const POLL_MS = 50
/** A connection that was opened just before the stop may send its first request in this time. */
const FIRST_BYTE_MS = 1000

/** Returns the open connections of a server. The set is updated when connections open or close. */
export function trackSockets (server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
    })
  })
  return sockets
}

/**
 * Stops a listening server. The server reports that it is not ready, and after the delay in its `close` it accepts no
 * new connections. Responses contain `Connection: close`. Requests in progress may finish until the deadline, and are
 * then cut.
 *
 * Fastify's own close waits for idle keep-alive sockets, or cuts requests in progress. Node counts a connection as busy
 * before its first request, and browsers open such connections in advance.
 */
export async function drain (
  app: { server: Server; close(): PromiseLike<unknown> },
  sockets: ReadonlySet<Socket>,
  limitMs: number
): Promise<void> {
  const { server } = app
  const start = performance.now()
  const idle = setInterval(() => {
    server.closeIdleConnections()
    if (server.listening || performance.now() - start < FIRST_BYTE_MS) return
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }, POLL_MS)
  const deadline = setTimeout(() => server.closeAllConnections(), limitMs)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(deadline)
  }
}
