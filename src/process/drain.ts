import type { Server } from 'node:http'
import type { Socket } from 'node:net'

const POLL_MS = 50
/** A request may be on its way on a connection that was opened just before the stop. */
const FIRST_BYTE_MS = 1000

/** The open connections of a server, kept up to date from now on. */
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
 * Stops a listening server: it is not ready any more, and, after the delay that its close may take for that, takes no
 * new connections; answers carry `Connection: close`; what is under way finishes until the deadline and is cut then.
 * (Fastify's own close waits for idle keep-alive sockets, or cuts work in flight; and Node counts a connection as busy
 * on which nothing was ever sent, as browsers open them ahead of need.)
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
