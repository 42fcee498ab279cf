import type { FastifyReply, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import { brotliCompressSync, gzipSync } from 'node:zlib'

type Coding = 'br' | 'gzip' | 'identity'

/**
 * A text that never changes while the server runs. It is compressed once, and has a strong ETag for each content coding
 * (RFC 9110, section 8.8.3.3).
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

  /** Sends the text in the best coding that the client accepts, or 304 if the client has the same text. */
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

/**
 * Returns the coding for an `Accept-Encoding` header (RFC 9110, section 12.5.3). A coding with `q=0` is not accepted.
 */
function codingOf (accepted = ''): Coding {
  const codings = accepted
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim().split(/\s*;\s*/))
  const accepts = (name: string) =>
    codings.some(([coding, ...parameters]) => coding === name && !parameters.some((one) => /^q=0(\.0*)?$/.test(one)))
  return accepts('br') ? 'br' : accepts('gzip') ? 'gzip' : 'identity'
}
