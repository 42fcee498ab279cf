import type { Server } from 'node:http'

const POLL_MS = 50

/**
 * Stops a listening server: it is not ready any more, and after the delay that its close may take for that, no new connections; answers carry `Connection: close`, what is under way finishes until the deadline and is
 * cut then. (Fastify's own close waits for idle keep-alive sockets, or cuts work in flight.)
 */
export async function drain (app: { server: Server, close (): PromiseLike<unknown> }, limitMs: number): Promise<void> {
  const { server } = app
  const idle = setInterval(() => server.closeIdleConnections(), POLL_MS)
  const deadline = setTimeout(() => server.closeAllConnections(), limitMs)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(deadline)
  }
}
