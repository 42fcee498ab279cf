import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Admission } from '../src/access/admissions.js'
import { ApiError } from '../src/errors.js'
import type { MediaFile } from '../src/media/played-file.js'
import { answerFor, type StreamRequest } from '../src/playback/answer.js'
import type { Clock } from '../src/time.js'

/** A file of a media, as the holder of an admission gets it. */
export interface MediaFileReply {
  file: MediaFile
  /** The value of Content-Disposition. */
  disposition: string
  admission: Admission
  /** Called before a response that begins at byte 0. */
  onStart?: () => Promise<void>
}

interface Options {
  clock: Clock
}

/** Adds a function to the reply that sends a file of a media, or decides on its conditions and range. */
export default fp<Options>(
  async (app, { clock }) => {
    app.decorateReply('sendMediaFile', async function (this: FastifyReply, reply: MediaFileReply) {
      const { file, disposition, admission, onStart } = reply
      const validators = { etag: file.etag, lastModified: file.lastModified }
      const request = streamRequestOf(this.request)
      const { status, headers, body } = answerFor(request, file.sizeBytes, validators, clock.now())
      if (status === 412) throw new ApiError('precondition_failed', { headers })
      if (status === 416) throw new ApiError('range_not_satisfiable', { headers })
      const send = body && (await this.code(status).openFile(file.blobName, admission))
      this.code(status).headers(headers).header('content-disposition', disposition)
      if (status !== 304) this.type(file.contentType)
      if (body === undefined || send === undefined) return this.send()
      if (body.start === 0) await onStart?.()
      return send(body)
    })
  },
  { name: 'media-file-reply' }
)

/** Returns the method and the headers that decide how a file is sent. */
function streamRequestOf ({ method, headers }: FastifyRequest): StreamRequest {
  return {
    method,
    range: headers.range,
    ifMatch: headers['if-match'],
    ifUnmodifiedSince: headers['if-unmodified-since'],
    ifNoneMatch: headers['if-none-match'],
    ifModifiedSince: headers['if-modified-since'],
    ifRange: headers['if-range'] as string | undefined
  }
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends a file of a media with its validators: 200, 206 or 304. **Throws** `precondition_failed`,
     * `range_not_satisfiable`, and the errors of `openFile`.
     */
    sendMediaFile(reply: MediaFileReply): Promise<FastifyReply>
  }
}
