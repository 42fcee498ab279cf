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

/** Whom a blob is sent to: an account or nobody, by a link or without. */
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

/** Answers with blobs, or parts of them. */
export default fp<Options>(
  async (app, { blobs, streamLimiter, config: { streamOffload }, metrics }) => {
    const onBytes = (bytes: number) => metrics.streamedBytes.inc(bytes)

    async function open (reply: FastifyReply, name: string, recipient: Recipient): Promise<OpenBlob> {
      // A pipelined response has no socket before its turn, and would never hear that its client has left: it opens
      // nothing until then.
      if (reply.raw.socket === null) await once(reply.raw, 'socket')
      const slot = acquireSlot(reply, recipient)
      const file = await blobs.open(name)
      if (file === undefined) {
        slot.release()
        throw new ApiError('not_found')
      }
      return { file, slot }
    }

    /** Takes a slot until the response is closed. */
    function acquireSlot ({ raw, request }: FastifyReply, { accountId, link }: Recipient): Slot {
      const slot = streamLimiter.acquire({ accountId, address: request.ip, linkId: link?.linkId }, {
        progress: () => socketProgress(raw.socket),
        end () {
          metrics.stalledStreams.inc()
          // A player that was paused goes on by range.
          raw.destroy()
        }
      })
      if (raw.closed) slot.release()
      else raw.once('close', () => slot.release())
      return slot
    }

    function send (reply: FastifyReply, { file, slot }: OpenBlob, range: ByteRange): FastifyReply {
      if (range.end - range.start + 1 > SMALL_RANGE_BYTES) {
        const pump = new FilePump(file, range, reply.raw, { onBlock: () => slot.touch() })
        const end = reply.reviewDownload()
        pump.once('close', () => {
          end()
          onBytes(pump.pumpedBytes)
        })
        return reply.send(pump)
      }
      readRange(file, range, reply.raw).then(
        (part) => {
          onBytes(part.length)
          reply.send(part)
        },
        (error: unknown) => reply.send(error)
      )
      return reply
    }

    /** What came through the proxy in front, and is what nginx answers from the file alike. */
    function offloadPathOf ({ request, statusCode }: FastifyReply, name: string): string | undefined {
      const proxied = streamOffload === 'x-accel' && (request.ips?.length ?? 1) > 1
      return proxied ? offloadPath(name, request.headers, statusCode) : undefined
    }

    app.decorateReply('openBlob', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const opened = await open(this, name, recipient)
      return (range: ByteRange) => send(this, opened, range)
    })
    app.decorateReply('sendBlob', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const opened = await open(this, name, recipient)
      const { size } = await opened.file.stat()
      return send(this.header('content-length', String(size)), opened, { start: 0, end: size - 1 })
    })
    app.decorateReply('openFile', async function (this: FastifyReply, name: string, recipient: Recipient) {
      const path = offloadPathOf(this, name)
      if (path === undefined) return await this.openBlob(name, recipient)
      return ({ start, end }: ByteRange) => {
        onBytes(end - start + 1)
        // nginx puts in the length and the range.
        return this.removeHeader('content-length').removeHeader('content-range').header('x-accel-redirect', path).send()
      }
    })
  },
  { name: 'blob-reply', dependencies: ['access-review'] }
)

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Opens a blob for its recipient when it is this response's turn, and answers how to send a part of it,
     * which closes it. Throws `not_found`, and `too_many_streams` or `overloaded` where too many are under way.
     */
    openBlob(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /**
     * {@link openBlob} for an answer that is the blob itself, or the one range of it that was asked for; the status
     * must be set. With STREAM_OFFLOAD the nginx that the request came through sends it, and bounds how many it sends.
     */
    openFile(name: string, recipient: Recipient): Promise<(range: ByteRange) => FastifyReply>
    /** Sends a whole blob. Throws as {@link openBlob} does. */
    sendBlob(name: string, recipient: Recipient): Promise<FastifyReply>
  }
}
