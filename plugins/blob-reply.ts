import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { once } from 'node:events'
import type { AccessReview } from '../src/access/access-review.js'
import type { Config } from '../src/config/config.js'
import { ApiError } from '../src/errors.js'
import type { ConcurrencyLimiter, Slot } from '../src/limits/concurrency-limiter.js'
import type { Metrics } from '../src/monitoring/metrics.js'
import type { ByteRange } from '../src/playback/byte-range.js'
import { FilePump } from '../src/playback/file-pump.js'
import { offloadPath } from '../src/playback/offload.js'
import { SMALL_RANGE_BYTES, readRange } from '../src/playback/read-range.js'
import { socketProgress } from '../src/playback/socket-progress.js'
import type { BlobStore } from '../src/storage/blob-store.js'
import type { ReadableFile } from '../src/storage/open-files.js'
import type { Clock } from '../src/time.js'
import mediaFileReply from './media-file-reply.js'

/** The recipient of a blob: an account or an anonymous client, with or without a link. */
export interface Recipient {
  accountId: string | null
  link?: { linkId: string }
}

/** An open file and the slot of its transfer. */
interface OpenBlob {
  file: ReadableFile
  slot: Slot
}

interface Options {
  blobs: BlobStore
  review: AccessReview
  streamLimiter: ConcurrencyLimiter
  config: Pick<Config, 'streamOffload'>
  metrics: Metrics
  clock: Clock
}

/** Adds functions to the reply that send a blob or a range of it, while its recipient is allowed to receive it. */
export default fp<Options>(
  async (app, options) => {
    const sender = new BlobSender(options)
    app.decorateReply('stillAllowed', undefined)
    app.decorateReply('openBlob', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const opened = await sender.open(this, name, recipient)
      return (range: ByteRange) => sender.send(this, opened, range)
    })
    app.decorateReply('sendBlob', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const opened = await sender.open(this, name, recipient)
      const { size } = await opened.file.stat()
      return sender.send(this.header('content-length', String(size)), opened, { start: 0, end: size - 1 })
    })
    app.decorateReply('openFile', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const path = sender.offloadPathOf(this, name)
      if (path === undefined) return await this.openBlob(name, recipient)
      return (range: ByteRange) => sender.offload(this, path, range)
    })
    await app.register(mediaFileReply, options)
  },
  { name: 'blob-reply' }
)

class BlobSender {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Opens a blob and acquires a slot for its recipient. **Throws** `not_found`, `too_many_streams`, `overloaded`. */
  async open (reply: FastifyReply, name: string, recipient: Recipient): Promise<OpenBlob> {
    // A pipelined response has no socket before its turn, and gets no event if its client leaves. So it opens no file
    // before its turn.
    if (reply.raw.socket === null) await once(reply.raw, 'socket')
    const slot = this.#acquireSlot(reply, recipient)
    const file = await this.#options.blobs.open(name)
    if (file === undefined) {
      slot.release()
      throw new ApiError('not_found')
    }
    return { file, slot }
  }

  /** Sends a range of an open blob, then closes the file. */
  send (reply: FastifyReply, { file, slot }: OpenBlob, range: ByteRange): FastifyReply {
    if (range.end - range.start + 1 > SMALL_RANGE_BYTES) {
      const pump = new FilePump(file, range, reply.raw, { onBlock: () => slot.touch() })
      const endReview = this.#reviewDownload(reply)
      pump.once('close', () => {
        endReview()
        this.#countBytes(pump.pumpedBytes)
      })
      return reply.send(pump)
    }
    readRange(file, range, reply.raw).then(
      (part) => {
        this.#countBytes(part.length)
        reply.send(part)
      },
      (error: unknown) => reply.send(error)
    )
    return reply
  }

  /**
   * Returns the path under which nginx finds the file. Returns undefined if the request did not come through nginx, or
   * if nginx would handle the request differently from this server.
   */
  offloadPathOf ({ request, statusCode }: FastifyReply, name: string): string | undefined {
    const isProxied = this.#options.config.streamOffload === 'x-accel' && (request.ips?.length ?? 1) > 1
    return isProxied ? offloadPath(name, request.headers, statusCode) : undefined
  }

  /** Lets nginx send the file. nginx adds the length and the range. */
  offload (reply: FastifyReply, path: string, { start, end }: ByteRange): FastifyReply {
    this.#countBytes(end - start + 1)
    return reply.removeHeader('content-length').removeHeader('content-range').header('x-accel-redirect', path).send()
  }

  /** Acquires a slot that is released when the response closes. */
  #acquireSlot ({ raw, request }: FastifyReply, { accountId, link }: Recipient): Slot {
    const { streamLimiter, metrics } = this.#options
    const slot = streamLimiter.acquire({ accountId, address: request.ip, linkId: link?.linkId }, {
      progress: () => socketProgress(raw.socket),
      end () {
        metrics.stalledStreams.inc()
        // A paused player resumes with a range request.
        raw.destroy()
      }
    })
    if (raw.closed) slot.release()
    else raw.once('close', () => slot.release())
    return slot
  }

  /** Closes the connection of a response when `stillAllowed` rejects. Returns a function that ends the checks. */
  #reviewDownload ({ stillAllowed, raw }: FastifyReply): () => void {
    return stillAllowed === undefined ? () => {} : this.#options.review.add(stillAllowed, () => raw.destroy())
  }

  #countBytes (bytes: number): void {
    this.#options.metrics.streamedBytes.inc(bytes)
  }
}

declare module 'fastify' {
  interface FastifyReply {
    /** A route sets this function before it sends a file. It rejects if the request would now be refused. */
    stillAllowed: (() => Promise<unknown>) | undefined
    /**
     * Waits for this response's turn on its connection, then opens a blob for its recipient. Resolves to a function
     * that sends a range and closes the blob. **Throws** `not_found`, and `too_many_streams` or `overloaded` at the
     * concurrency limit.
     */
    openBlob(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /**
     * Like {@link openBlob}, for a response that is the whole blob or the requested range. Set the status first.
     * With STREAM_OFFLOAD, nginx sends the file and limits the streams if the request came through nginx.
     */
    openFile(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /** Sends a whole blob. **Throws** the same errors as {@link openBlob}. */
    sendBlob(name: string, recipient: Recipient): Promise<FastifyReply>
  }
}
