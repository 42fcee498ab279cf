import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { publisherRoles } from '../src/accounts/schema.js'
import { invalidField } from '../src/errors.js'
import { MediaReply, PreflightBody, PreflightReply, mediaReply, preflightReply } from '../src/media/schema.js'
import type { Intake } from '../src/media/uploads.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  intake: Intake
}

const preflightMedia = {
  config: { auth: { roles: publisherRoles }, idempotent: true, scope: 'uploads' },
  schema: {
    operationId: 'preflightMedia',
    summary: 'Check whether you already have a file, and create a media from it',
    description:
      'Send the SHA-256 and the size of a file before you upload it. Only your own media are searched. ' +
      'With `create: true`, a file that you have becomes another media (201) without upload. ' +
      'Both media share the stored file, and deleting one leaves the other. ' +
      'Each counts its full size against your quota. ' +
      'If you do not have the file, upload it.',
    tags: ['Media'],
    body: PreflightBody,
    response: {
      200: PreflightReply,
      201: MediaReply,
      ...problemResponses('not_found', 'media_type_mismatch', 'quota_exceeded')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { intake }) => {
  app.post('/media/preflight', preflightMedia, async (request, reply) => {
    const { id: ownerId } = request.requireViewer()
    const { sha256, size_bytes: sizeBytes, create, title, ...settings } = request.body
    const content = { sha256, sizeBytes }
    if (create !== true) return preflightReply(await intake.find(ownerId, content))
    if (title === undefined) throw invalidField('title', 'is required with create')
    const description = { title, ...settings, ownerId, uploaderId: ownerId }
    return await reply.createOnce(async (creation) => {
      const media = await intake.reuse(description, content, (trx, media) =>
        creation.created(trx, `/media/${media.id}`, mediaReply(media, true))
      )
      return preflightReply(media)
    })
  })
}

export default routes
