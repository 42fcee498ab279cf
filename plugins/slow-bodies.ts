import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { performance } from 'node:perf_hooks'
import { KiB, MiB } from '../src/bytes.js'
import { MINUTE, SECOND } from '../src/time.js'
import { answerUnreadable } from './errors.js'

export interface BodyLimits {
  /** An incomplete body must deliver `minBytes` in each window of `windowMs`. */
  windowMs: number
  minBytes: number
  /**
   * Limits for the rest of a body after its response was sent. The server reads the rest so that the client can read
   * the response (RFC 9112, section 9.6).
   */
  lingerMs: number
  lingerBytes: number
}

/**
 * 1 KiB a second is half of what GPRS gave. A browser reads the response only after it has sent the whole body. The
 * server reads at most 64 MiB, for at most 30 s as nginx does.
 */
const defaults: BodyLimits = { windowMs: MINUTE, minBytes: 60 * KiB, lingerMs: 30 * SECOND, lingerBytes: 64 * MiB }

interface Watch {
  since: number
  bytesRead: number
  answered: boolean
}

/**
 * Ends slow and endless request bodies. The idle timeout of a socket detects only silence. A body that arrives too
 * slowly gets 408, and its connection is closed. A body that continues too long after its response is cut.
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
      // Node closes the connection right after a response with `connection: close`. The reset can discard the response
      // before a client that is still sending reads it.
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
        // Bytes have arrived that were not read yet, so this server is slow, for example its disk.
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
