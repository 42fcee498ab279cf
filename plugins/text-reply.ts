import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { entityTag, formatHttpDate, isNotModified } from '../src/playback/conditional.js'

/** The SHA-256 of a text in hex, and the time of its last change in milliseconds. */
interface TextVersion {
  sha256: string
  lastModified: number
}

/** Adds a function to the reply that sends a text file of a media. */
export default fp(
  async (app) => {
    app.decorateReply('sendText', function (this: FastifyReply, text: string, { sha256, lastModified }: TextVersion) {
      const { 'if-none-match': ifNoneMatch, 'if-modified-since': ifModifiedSince } = this.request.headers
      const validators = { etag: entityTag(sha256), lastModified }
      this.headers({
        etag: validators.etag,
        'last-modified': formatHttpDate(lastModified),
        // A browser asks each time, so that a revoked link shows nothing more.
        'cache-control': 'private, no-cache'
      })
      return isNotModified(ifNoneMatch, ifModifiedSince, validators) ? this.code(304).send() : this.send(text)
    })
  },
  { name: 'text-reply' }
)

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a text with its validators, or 304 if the client has this version. The type must be set before. */
    sendText(text: string, version: TextVersion): FastifyReply
  }
}
