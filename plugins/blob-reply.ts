import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { once } from 'node:events'
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

/** Who receives a blob: an account or nobody, by a link or without. */
export interface Recipient {
  accountId: string | null
  link?: { linkId: string }
}

/** An open file, and the slot in which it is sent. */
interface OpenBlob {
  file: ReadableFile
  slot: Slot
}

interface Options {
  blobs: BlobStore
  streamLimiter: ConcurrencyLimiter
  config: Pick<Config, 'streamOffload'>
  metrics: Metrics
}

/** Responds with blobs, or parts of them. */
export default fp<Options>(
  async (app, options) => {
    const sender = new BlobSender(options)
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
  },
  { name: 'blob-reply', dependencies: ['access-review'] }
)

class BlobSender {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Opens a blob in a slot of its recipient. **Throws** `not_found`, `too_many_streams`, `overloaded`. */
  async open (reply: FastifyReply, name: string, recipient: Recipient): Promise<OpenBlob> {
    // A pipelined response has no socket before its turn, and gets no event when its client leaves: it opens nothing.
    if (reply.raw.socket === null) await once(reply.raw, 'socket')
    const slot = this.#acquireSlot(reply, recipient)
    const file = await this.#options.blobs.open(name)
    if (file === undefined) {
      slot.release()
      throw new ApiError('not_found')
    }
    return { file, slot }
  }

  /** Sends a range of an open blob, and closes it. */
  send (reply: FastifyReply, { file, slot }: OpenBlob, range: ByteRange): FastifyReply {
    if (range.end - range.start + 1 > SMALL_RANGE_BYTES) {
      const pump = new FilePump(file, range, reply.raw, { onBlock: () => slot.touch() })
      const end = reply.reviewDownload()
      pump.once('close', () => {
        end()
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

  /** Returns where nginx finds the file, for a request that came through it and that it handles as this server does. */
  offloadPathOf ({ request, statusCode }: FastifyReply, name: string): string | undefined {
    const isProxied = this.#options.config.streamOffload === 'x-accel' && (request.ips?.length ?? 1) > 1
    return isProxied ? offloadPath(name, request.headers, statusCode) : undefined
  }

  /** Lets nginx send the file. It adds the length and the range. */
  offload (reply: FastifyReply, path: string, { start, end }: ByteRange): FastifyReply {
    this.#countBytes(end - start + 1)
    return reply.removeHeader('content-length').removeHeader('content-range').header('x-accel-redirect', path).send()
  }

  /** Acquires a slot until the response is closed. */
  #acquireSlot ({ raw, request }: FastifyReply, { accountId, link }: Recipient): Slot {
    const { streamLimiter, metrics } = this.#options
    const slot = streamLimiter.acquire({ accountId, address: request.ip, linkId: link?.linkId }, {
      progress: () => socketProgress(raw.socket),
      end () {
        metrics.stalledStreams.inc()
        // A paused player continues by range.
        raw.destroy()
      }
    })
    if (raw.closed) slot.release()
    else raw.once('close', () => slot.release())
    return slot
  }

  #countBytes (bytes: number): void {
    this.#options.metrics.streamedBytes.inc(bytes)
  }
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Opens a blob for its recipient when it is this response's turn. Resolves with a function that sends a range and
     * closes it. **Throws** `not_found`, and `too_many_streams` or `overloaded` at the concurrency limit.
     */
    openBlob(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /**
     * {@link openBlob} for a response that is the blob itself, or the requested range of it; the status must be set.
     * With STREAM_OFFLOAD, nginx sends it if the request came through nginx, which then limits the streams.
     */
    openFile(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /** Sends a whole blob. **Throws** as {@link openBlob} does. */
    sendBlob(name: string, recipient: Recipient): Promise<FastifyReply>
  }
}
