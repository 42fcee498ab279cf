import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { GrantedUploads } from '../src/grants/granted-upload.js'
import { GrantedUploadReply } from '../src/grants/schema.js'
import type { UploadGrants } from '../src/grants/upload-grants.js'
import { expectedOf } from '../src/media/expected-file.js'
import { uploadTooLarge, type Intake } from '../src/media/uploads.js'
import { PUBLISH_PROBLEMS, RECEIVE_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  grants: UploadGrants
  grantedUploads: GrantedUploads
  intake: Intake
}

const putGrantedUpload = {
  config: { rawBody: true },
  schema: {
    operationId: 'putGrantedUpload',
    summary: 'Upload the file of a grant, without an account',
    description:
      'This is the `upload_url` of a grant. Send the file as the body, with a `Content-Length`, as for ' +
      '`PUT /media/uploads`. A refused upload leaves the grant unused.',
    tags: ['Media'],
    params: Type.Object({ token: Type.String() }),
    headers: Type.Object({
      'repr-digest': Type.Optional(
        Type.String({ examples: ['sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:'] })
      )
    }),
    response: {
      201: GrantedUploadReply,
      ...problemResponses(
        'upload_grant_invalid',
        'upload_grant_expired',
        'upload_grant_revoked',
        'upload_grant_origin',
        'upload_grant_used',
        'upload_grant_in_use',
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

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { grants, grantedUploads, intake }) => {
  // Every content type is accepted and ignored: the body reaches the handler unparsed.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.put('/granted-uploads/:token', putGrantedUpload, async (request, reply) => {
    const admission = await grants.admit(request.params.token)
    const { maxBytes } = admission.grant
    const expected = expectedOf(request.headers)
    if (expected.sizeBytes > maxBytes) throw uploadTooLarge(maxBytes)
    // The upload runs as the maker of the grant: it uses the maker's slot, and ends if the maker is disabled.
    request.viewer = admission.maker
    const media = await grantedUploads.run(
      admission,
      // The grant has reserved the quota already.
      () => request.receiveUpload((body) => intake.receive(body, undefined, expected)),
      (refusal) => request.raw.destroy(refusal)
    )
    return reply.code(201).send({ media_id: media.id, size_bytes: media.sizeBytes ?? 0, sha256: media.sha256 ?? '' })
  })
}

export default routes
