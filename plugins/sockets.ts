import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import type { Socket } from 'node:net'

/**
 * Reads the address of each connection early, because the system loses it at a reset. Keeps a silent connection open
 * while its client waits for a response.
 */
export default fp(
  async (app) => {
    const newest = new WeakMap<Socket, FastifyReply>()
    app.addHook('onRequest', ({ raw }, reply, done) => {
      newest.set(raw.socket, reply)
      done()
    })

    app.server.prependListener('connection', (socket: Socket) => {
      // Node asks the system for the address at the first read and keeps it. A connection that was already reset has no
      // address.
      if (socket.remoteAddress === undefined) socket.destroy()
    })

    // A client that has sent its whole request is silent because it waits for the response.
    app.server.on('timeout', (socket: Socket) => {
      const reply = newest.get(socket)
      const isDue = reply !== undefined && reply.request.raw.complete && !reply.raw.headersSent
      if (!isDue) socket.destroy()
    })
  },
  { name: 'sockets' }
)
