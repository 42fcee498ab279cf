import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { performance } from 'node:perf_hooks'
import { KiB, MiB } from '../src/bytes.js'
import { MINUTE, SECOND } from '../src/time.js'
import { answerUnreadable } from './errors.js'

export interface BodyLimits {
  /** In each window this many bytes must come of a body that is not complete. */
  windowMs: number
  minBytes: number
  /**
   * What is read on of a body that was answered already, so that its sender gets to read the answer (RFC 9112, 9.6).
   */
  lingerMs: number
  lingerBytes: number
}

/**
 * 1 KiB a second: half of what GPRS gave. A browser reads the answer only when it has sent all: thirty seconds, as
 * nginx lingers, and 64 MiB.
 */
const defaults: BodyLimits = { windowMs: MINUTE, minBytes: 60 * KiB, lingerMs: 30 * SECOND, lingerBytes: 64 * MiB }

interface Watch {
  since: number
  bytesRead: number
  answered: boolean
}

/**
 * Ends bodies that never end. The idle time-out of a socket sees only silence: one that trickles is answered 408 and
 * closed here, and so is one that goes on and on after its answer.
 */
export default fp<Partial<BodyLimits>>(
  async (app, options) => {
    const { windowMs, minBytes, lingerMs, lingerBytes } = { ...defaults, ...options }
    const watched = new Map<IncomingMessage, Watch>()
    const start = (raw: IncomingMessage, answered: boolean) =>
      watched.set(raw, { since: performance.now(), bytesRead: raw.socket.bytesRead, answered })

    app.addHook('onRequest', ({ raw }, _reply, done) => {
      const { 'content-length': length, 'transfer-encoding': coding } = raw.headers
      if ((length !== undefined && length !== '0') || coding !== undefined) start(raw, false)
      done()
    })
    app.addHook('onSend', ({ raw }, reply, _payload, done) => {
      // Node closes right after an answer that says so, and the reset takes the answer from a client that is still
      // sending.
      if (raw.complete === false && watched.has(raw)) reply.removeHeader('connection').raw.shouldKeepAlive = true
      done()
    })
    app.addHook('onResponse', ({ raw }, _reply, done) => {
      if (!watched.delete(raw)) return done()
      if (raw.complete === false && !raw.socket.destroyed) start(raw, true)
      done()
    })

    function look (): void {
      const now = performance.now()
      for (const [raw, watch] of watched) {
        const { socket } = raw
        if (raw.complete || socket.destroyed) watched.delete(raw)
        // What has arrived was not yet read: it is this server that is slow (its disk, say).
        else if (!watch.answered && raw.readableLength > 0) start(raw, false)
        else if (watch.answered) {
          if (now - watch.since >= lingerMs || socket.bytesRead - watch.bytesRead > lingerBytes) socket.destroy()
        } else if (now - watch.since >= windowMs) {
          if (socket.bytesRead - watch.bytesRead >= minBytes) start(raw, false)
          else cut(raw)
        }
      }
    }

    function cut ({ socket }: IncomingMessage): void {
      answerUnreadable(
        Object.assign(new Error('the body came too slowly'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
        socket
      )
      socket.destroySoon()
    }

    const timer = setInterval(look, Math.min(SECOND, windowMs / 4)).unref()
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'slow-bodies', dependencies: ['errors'] }
)
