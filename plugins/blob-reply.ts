import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { ApiError } from '../src/errors.js'
import type { Places } from '../src/limits/places.js'
import type { ByteRange } from '../src/playback/byte-range.js'
import { FilePump } from '../src/playback/file-pump.js'
import type { BlobStore } from '../src/storage/blob-store.js'

interface Options { blobs: BlobStore, places: Places, onBytes: (bytes: number) => void }

/** Answers with blobs, or parts of them. */
export default fp<Options>(async (app, { blobs, places, onBytes }) => {
  async function open (reply: FastifyReply, name: string, accountId: string | null): Promise<FileHandle> {
    // A pipelined response has no socket before its turn, and would never hear that its client has left: it opens nothing until then.
    if (reply.raw.socket === null) await once(reply.raw, 'socket')
    const leave = places.take(accountId, reply.request.ip)
    if (reply.raw.closed) leave()
    else reply.raw.once('close', leave)
    const file = await blobs.open(name)
    if (file === undefined) throw new ApiError('not_found')
    return file
  }

  function send (reply: FastifyReply, file: FileHandle, range: ByteRange): FastifyReply {
    onBytes(range.end - range.start + 1)
    return reply.send(new FilePump(file, range, reply.raw))
  }

  app.decorateReply('openBlob', async function (this: FastifyReply, name: string, accountId: string | null) {
    const file = await open(this, name, accountId)
    return (range: ByteRange) => send(this, file, range)
  })
  app.decorateReply('sendBlob', async function (this: FastifyReply, name: string, accountId: string | null) {
    const file = await open(this, name, accountId)
    const { size } = await file.stat()
    return send(this.header('content-length', String(size)), file, { start: 0, end: size - 1 })
  })
}, { name: 'blob-reply' })

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Opens a blob for an account, or nobody, when it is this response's turn, and answers how to send a part of it, which closes it. Throws
     * `not_found`, and `too_many_streams` or `overloaded` where too many are under way.
     */
    openBlob (name: string, accountId: string | null): Promise<(range: ByteRange) => FastifyReply>
    /** Sends a whole blob. Throws as {@link openBlob} does. */
    sendBlob (name: string, accountId: string | null): Promise<FastifyReply>
  }
}
