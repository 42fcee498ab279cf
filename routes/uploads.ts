import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { publisherRoles } from '../src/accounts/schema.js'
import { ApiError } from '../src/errors.js'
import { parseReprDigest } from '../src/media/repr-digest.js'
import { MediaReply, UploadFields, mediaReply } from '../src/media/schema.js'
import type { Expected, Intake } from '../src/media/uploads.js'
import { PUBLISH_PROBLEMS, RECEIVE_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  intake: Intake
}

const putMedia = {
  config: { auth: { roles: publisherRoles }, rawBody: true, scope: 'uploads' },
  schema: {
    operationId: 'putMedia',
    summary: 'Upload a file as the request body',
    description:
      'Send the file without a form around it, with a `Content-Length`. ' +
      'With `Repr-Digest: sha-256=:<base64>:` (RFC 9530), ' +
      'a body with another digest is refused and not stored.',
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
        'length_required',
        'digest_malformed',
        'digest_mismatch',
        'media_type_mismatch',
        ...RECEIVE_PROBLEMS,
        ...PUBLISH_PROBLEMS
      )
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { intake }) => {
  // Every content type is accepted and ignored: the body reaches the handler unparsed.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.put('/media/uploads', putMedia, async (request, reply) => {
    const { id: ownerId } = request.requireViewer()
    const { title, type, visibility, protection } = request.query
    const draft = await request.receiveUpload((body) => intake.receive(body, ownerId, expectedOf(request)))
    const media = await intake.publish(draft, { title, type, visibility, protection, ownerId, uploaderId: ownerId })
    return reply.code(201).header('location', `/media/${media.id}`).send(mediaReply(media, true))
  })
}

/** Returns the length and the digest in the headers. **Throws** for headers that do not describe a whole file. */
function expectedOf ({ headers }: FastifyRequest): Expected {
  const {
    'content-length': length,
    'content-encoding': encoding = 'identity',
    'content-range': part,
    'repr-digest': digest
  } = headers
  if (length === undefined) throw new ApiError('length_required')
  // RFC 9110, sections 14.4 and 15.5.16. Otherwise a part of a file would be stored as a whole file, and an encoded
  // file as a different file.
  if (part !== undefined) {
    throw new ApiError('bad_request', { detail: 'Part of a file (Content-Range) is not accepted here.' })
  }
  if (encoding !== 'identity') {
    throw new ApiError('unsupported_content_type', {
      detail: 'A body with a Content-Encoding is not accepted here.',
      headers: { 'accept-encoding': 'identity' }
    })
  }
  const named = digest === undefined ? { sha256: undefined } : parseReprDigest([digest].flat().join(','))
  if (named === 'malformed') throw new ApiError('digest_malformed')
  return { sizeBytes: Number(length), sha256: named.sha256 }
}

export default routes
