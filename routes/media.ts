import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import { mayChange, type Access } from '../src/access/permissions.js'
import type { StreamGate } from '../src/access/playback-links.js'
import { invalidField } from '../src/errors.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { Intake } from '../src/media/uploads.js'
import type { Library } from '../src/media/library.js'
import { MediaTypeSchema, LinkedMediaBody, MediaPatch, MediaReply, UploadFields, mediaReply } from '../src/media/schema.js'
import { FilteredPageQuery, PageOf, SearchText, mapPage } from '../src/schemas/pagination.js'
import { DrmReply, drmReply } from '../src/protection/schema.js'
import { problemResponses } from '../src/schemas/problem.js'
import { AnyId, DateTime, Uuid } from '../src/schemas/fields.js'
import { isoTime } from '../src/time.js'

interface Options {
  access: Access
  gate: StreamGate
  intake: Intake
  lectures: Lectures
  library: Library
  maxLinkSeconds: number
}

const tags = ['Media']
const Params = Type.Object({ id: Uuid() })
const AnyParams = Type.Object({ id: AnyId() })
const StreamUrlReply = Type.Object({
  stream_url: Type.String({
    examples: [
      'http://127.0.0.1:8000/media/stream/019377a4-3f00-7000-8000-000000000000?exp=1764000000&gen=1&kid=…&lid=…&sub=…&sig=…'
    ]
  }),
  poster_url: Type.Union([Type.String(), Type.Null()], {
    description: 'A picture of a video, by the same link; null where there is none.'
  }),
  drm: Type.Optional(DrmReply),
  expires_in: Type.Integer({ description: 'Seconds.' }),
  expires_at: DateTime(),
  media_id: Uuid()
})

const routes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { access, gate, intake, lectures, library, maxLinkSeconds }
) => {
  // Public media need no token.
  await app.register(async (anyone: typeof app) => {
    anyone.addHook('preParsing', app.identifyAnyone)

    anyone.get(
      '/media/:id',
      {
        schema: {
          operationId: 'getMedia',
          summary: 'One media',
          tags,
          security: [{ bearer: [] }, { login: [] }, {}],
          params: AnyParams,
          response: { 200: MediaReply, ...problemResponses('not_authenticated', 'invalid_token', 'not_found') }
        }
      },
      async (request) => {
        const media = await access.visible(request.viewer, request.params.id)
        return mediaReply(media, mayChange(request.viewer, media))
      }
    )

    anyone.get(
      '/media/:id/stream-url',
      {
        schema: {
          operationId: 'getStreamUrl',
          summary: 'Mint a link to the stream that expires',
          tags,
          security: [{ bearer: [] }, { login: [] }, {}],
          params: AnyParams,
          querystring: Type.Object({
            expires_in: Type.Optional(
              Type.Unsafe<number | 'auto'>({
                anyOf: [{ type: 'integer', minimum: 1, maximum: maxLinkSeconds }, { const: 'auto' }],
                'x-message': `must be 1 to ${maxLinkSeconds}, in seconds, or auto`,
                description: `Seconds, at most ${maxLinkSeconds}; or \`auto\`: one and a half times the length, and ten minutes.`,
                examples: [600]
              })
            ),
            continues: Type.Optional(
              Type.String({
                maxLength: 2048,
                description:
                  'An earlier `stream_url` of this media, minted for the same account, which this link goes on for when it ends: both together are one view. What is no such link makes no difference.'
              })
            )
          }),
          response: {
            200: StreamUrlReply,
            ...problemResponses(
              'not_authenticated',
              'invalid_token',
              'not_found',
              'media_not_ready',
              'validation_failed'
            )
          }
        }
      },
      async (request) => {
        const media = await access.visible(request.viewer, request.params.id)
        const link = await gate.mint(
          request.viewer,
          media,
          gate.lifetime(request.query.expires_in, media),
          request.origin,
          request.query.continues
        )
        return {
          stream_url: link.url,
          poster_url: link.posterUrl,
          ...(link.drm !== null && { drm: drmReply(link.drm) }),
          expires_in: link.expiresInSeconds,
          expires_at: isoTime(link.expiresAt),
          media_id: media.id
        }
      }
    )
  })

  await app.register(async (signedIn: typeof app) => {
    signedIn.addHook('preParsing', app.requireAccount)

    signedIn.get(
      '/media',
      {
        schema: {
          operationId: 'listMedia',
          summary: 'Your media; an administrator sees all',
          tags,
          querystring: FilteredPageQuery({ type: Type.Optional(MediaTypeSchema), q: SearchText('a title') }),
          response: {
            200: PageOf(MediaReply),
            ...problemResponses('not_authenticated', 'invalid_token', 'validation_failed')
          }
        }
      },
      async (request) => {
        const { id, role } = request.signedIn()
        const { type, q: titlePart, ...page } = request.query
        const found = await library.list({ type, titlePart, ...(role !== 'admin' && { ownerId: id }) }, page)
        return mapPage(found, (media) => mediaReply(media, true))
      }
    )

    signedIn.post(
      '/media',
      {
        preParsing: app.requireRole('admin', 'instructor'),
        config: {
          checks: [UploadFields],
          form: {
            ...UploadFields,
            properties: { ...UploadFields.properties, file: Type.String({ format: 'binary' }) },
            required: ['title', 'type', 'file']
          }
        },
        schema: {
          operationId: 'createMedia',
          summary: 'Upload a file, or name one that lives elsewhere',
          description:
            'A file comes as a multipart form, streamed to disk (also accepted as `media`; fields may follow it). What it is, is decided by its content. A media made by JSON streams by a link of ours that answers 302 to its `file_url`.',
          tags,
          body: { content: { 'application/json': { schema: LinkedMediaBody } } },
          response: {
            201: MediaReply,
            ...problemResponses(
              'malformed_json',
              'malformed_multipart',
              'upload_incomplete',
              'not_authenticated',
              'invalid_token',
              'role_required',
              'upload_too_large',
              'quota_exceeded',
              'unsupported_content_type',
              'unsupported_media_format',
              'validation_failed',
              'media_type_mismatch',
              'media_too_complex',
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
        const media = request.isMultipart()
          ? await upload()
          : await link(request.body as Static<typeof LinkedMediaBody>)
        return reply.code(201).header('location', `/media/${media.id}`).send(mediaReply(media, true))

        async function upload () {
          const { fields, files } = await request.receiveForm({
            fields: UploadFields,
            fileFields: ['file', 'media'],
            maxFiles: 1,
            receive: (source) => intake.receive(source, ownerId),
            discard: (draft) => draft.discard()
          })
          if (files[0] === undefined) throw invalidField('file', 'is required')
          return await intake.publish(files[0].received, { ...fields, ownerId, uploaderId: ownerId })
        }

        async function link ({ file_url: fileUrl, ...description }: Static<typeof LinkedMediaBody>) {
          return await intake.link({ ...description, ownerId, uploaderId: ownerId }, fileUrl)
        }
      }
    )

    signedIn.patch(
      '/media/:id',
      {
        schema: {
          operationId: 'updateMedia',
          summary: 'Change the title, who may watch, or whether it is protected',
          tags,
          params: Params,
          body: MediaPatch,
          response: {
            200: MediaReply,
            ...problemResponses(
              'malformed_json',
              'not_authenticated',
              'invalid_token',
              'not_owner',
              'not_found',
              'protection_required',
              'validation_failed'
            )
          }
        }
      },
      async (request) => {
        const media = await access.changeable(request.signedIn(), request.params.id)
        const { protection, ...words } = request.body
        if (protection !== undefined) await lectures.changeProtection(media, protection)
        return mediaReply(await library.change(media.id, words), true)
      }
    )

    signedIn.delete(
      '/media/:id',
      {
        schema: {
          operationId: 'deleteMedia',
          summary: 'Delete a media, its file, its views and its figures',
          tags,
          params: Params,
          response: {
            204: Type.Null({ description: 'Deleted.' }),
            ...problemResponses('not_authenticated', 'invalid_token', 'not_owner', 'not_found', 'media_in_use')
          }
        }
      },
      async (request, reply) => {
        const media = await access.changeable(request.signedIn(), request.params.id)
        await library.remove(media.id)
        return reply.code(204).send(null)
      }
    )

    signedIn.delete(
      '/media/:id/stream-url',
      {
        schema: {
          operationId: 'revokeStreamUrls',
          summary: 'Kill every link minted so far',
          tags,
          params: Params,
          response: {
            204: Type.Null({ description: 'Revoked.' }),
            ...problemResponses('not_authenticated', 'invalid_token', 'not_owner', 'not_found')
          }
        }
      },
      async (request, reply) => {
        const media = await access.changeable(request.signedIn(), request.params.id)
        await library.revokeLinks(media.id)
        return reply.code(204).send(null)
      }
    )
  })
}

export default routes
