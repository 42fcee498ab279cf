import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { publisherRoles } from '../src/accounts/schema.js'
import { expectedOf } from '../src/media/expected-file.js'
import { MediaReply, UploadFields, mediaReply } from '../src/media/schema.js'
import type { Intake } from '../src/media/uploads.js'
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
    const draft = await request.receiveUpload((body) => intake.receive(body, ownerId, expectedOf(request.headers)))
    const media = await intake.publish(draft, { title, type, visibility, protection, ownerId, uploaderId: ownerId })
    return reply.code(201).header('location', `/media/${media.id}`).send(mediaReply(media, true))
  })
}

export default routes
