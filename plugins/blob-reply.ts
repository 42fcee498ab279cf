import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { once } from 'node:events'
import { ApiError } from '../src/errors.js'
import type { ByteRange } from '../src/playback/byte-range.js'
import { FilePump } from '../src/playback/file-pump.js'
import type { BlobStore } from '../src/storage/blob-store.js'

interface Options { blobs: BlobStore, onBytes: (bytes: number) => void }

/** Answers with a part of a blob. */
export default fp<Options>(async (app, { blobs, onBytes }) => {
  app.decorateReply('openBlob', async function (this: FastifyReply, name: string) {
    // A pipelined response has no socket before its turn, and would never hear that its client has left: it opens nothing until then.
    if (this.raw.socket === null) await once(this.raw, 'socket')
    const file = await blobs.open(name)
    if (file === undefined) throw new ApiError('not_found')
    return (range: ByteRange) => {
      onBytes(range.end - range.start + 1)
      return this.send(new FilePump(file, range, this.raw))
    }
  })
}, { name: 'blob-reply' })

declare module 'fastify' {
  interface FastifyReply {
    /** Opens a blob, when it is this response's turn, and answers how to send a part of it, which closes it. Throws `not_found`. */
    openBlob (name: string): Promise<(range: ByteRange) => FastifyReply>
  }
}
