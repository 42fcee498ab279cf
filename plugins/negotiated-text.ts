import type { FastifyReply, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import { brotliCompressSync, gzipSync } from 'node:zlib'

type Coding = 'br' | 'gzip' | 'identity'

/**
 * A text that never changes while the server runs: compressed once, with a strong ETag for each coding (RFC 9110,
 * 8.8.3.3).
 */
export class NegotiatedText {
  readonly #type: string
  readonly #tag: string
  readonly #bodies: Record<Coding, Buffer>

  constructor (text: string, type: string) {
    const identity = Buffer.from(text)
    this.#type = type
    this.#tag = createHash('sha256').update(identity).digest('base64url').slice(0, 22)
    this.#bodies = { identity, gzip: gzipSync(identity), br: brotliCompressSync(identity) }
  }

  /** Responds with the best coding that the client accepts, or with 304 where it has the text already. */
  send ({ headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
    const coding = codingOf(headers['accept-encoding'])
    const etag = `"${this.#tag}-${coding}"`
    reply.headers({ etag, vary: 'accept-encoding', 'cache-control': 'no-cache' })
    const known = headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
    if (known?.includes(etag) === true || known?.includes('*') === true) return reply.code(304).send()
    if (coding !== 'identity') reply.header('content-encoding', coding)
    return reply.type(this.#type).send(this.#bodies[coding])
  }
}

/** The coding to use by an `Accept-Encoding` (RFC 9110, 12.5.3); a coding with `q=0` is not accepted. */
function codingOf (accepted = ''): Coding {
  const codings = accepted
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim().split(/\s*;\s*/))
  const accepts = (name: string) =>
    codings.some(([coding, ...parameters]) => coding === name && !parameters.some((one) => /^q=0(\.0*)?$/.test(one)))
  return accepts('br') ? 'br' : accepts('gzip') ? 'gzip' : 'identity'
}
