import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ApiError } from '../src/errors.js'
import type { ConcurrencyLimiter } from '../src/limits/concurrency-limiter.js'
import type { Expected, Intake } from '../src/media/uploads.js'
import { parseReprDigest } from '../src/media/repr-digest.js'
import { MediaReply, UploadFields, mediaReply } from '../src/media/schema.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  intake: Intake
  /** Bounds how many uploads are received at once. */
  limiter: ConcurrencyLimiter
}

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { intake, limiter }) => {
  app.addHook('preParsing', app.requireAccount)
  // Any type is taken, and none believed: the body is handed on as it comes.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.put(
    '/media/uploads',
    {
      preParsing: app.requireRole('admin', 'instructor'),
      config: { rawBody: true },
      schema: {
        operationId: 'putMedia',
        summary: 'Upload a file as the body itself',
        description:
          'The cheapest way in: no form around the file. `Content-Length` is required. A `Repr-Digest: sha-256=:<base64>:` (RFC 9530) is held against what arrived; nothing is kept where they differ.',
        tags: ['Media'],
        querystring: Type.Object(UploadFields.properties),
        headers: Type.Object({
          'repr-digest': Type.Optional(
            Type.String({ examples: ['sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:'] })
          )
        }),
        response: {
          201: MediaReply,
          ...problemResponses(
            'bad_request',
            'upload_incomplete',
            'digest_malformed',
            'not_authenticated',
            'invalid_token',
            'role_required',
            'length_required',
            'upload_too_large',
            'quota_exceeded',
            'unsupported_content_type',
            'unsupported_media_format',
            'validation_failed',
            'media_type_mismatch',
            'media_too_complex',
            'digest_mismatch',
            'too_many_uploads',
            'overloaded',
            'shutting_down',
            'storage_unavailable',
            'storage_full'
          )
        }
      }
    },
    async (request, reply) => {
      const { id: ownerId } = request.signedIn()
      const { title, type, visibility, protection } = request.query
      const slot = limiter.acquire({ accountId: ownerId, address: request.ip })
      const end = request.reviewUpload()
      try {
        const draft = await intake.receive(request.raw, ownerId, expectedOf(request)).catch((error: unknown) => {
          throw request.raw.errored === null || error instanceof ApiError
            ? error
            : new ApiError('upload_incomplete', { cause: error })
        })
        const media = await intake.publish(draft, { title, type, visibility, protection, ownerId, uploaderId: ownerId })
        return await reply.code(201).header('location', `/media/${media.id}`).send(mediaReply(media, true))
      } finally {
        end()
        slot.release()
      }
    }
  )
}

/** What the headers say of the body. Throws for those that say nothing, or something else than a whole file. */
function expectedOf ({ headers }: FastifyRequest): Expected {
  const {
    'content-length': length,
    'content-encoding': encoding = 'identity',
    'content-range': part,
    'repr-digest': digest
  } = headers
  if (length === undefined) throw new ApiError('length_required')
  // RFC 9110, 14.4 and 15.5.16: part of a file would be taken for the whole of it, and an encoded one for something
  // else.
  if (part !== undefined) {
    throw new ApiError('bad_request', { detail: 'A part of a file (Content-Range) is not taken here.' })
  }
  if (encoding !== 'identity') {
    throw new ApiError('unsupported_content_type', {
      detail: 'A body with a Content-Encoding is not taken here.',
      headers: { 'accept-encoding': 'identity' }
    })
  }
  const named = digest === undefined ? { sha256: undefined } : parseReprDigest([digest].flat().join(','))
  if (named === 'malformed') throw new ApiError('digest_malformed')
  return { sizeBytes: Number(length), sha256: named.sha256 }
}

export default routes
