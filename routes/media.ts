import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import type { Creation } from '../plugins/idempotency.js'
import { mayChange, type Access } from '../src/access/permissions.js'
import type { PlaybackLinks } from '../src/access/playback-links.js'
import { publisherRoles } from '../src/accounts/schema.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { Library } from '../src/media/library.js'
import {
  LinkedMediaBody,
  MediaForm,
  MediaPatch,
  MediaReply,
  MediaTypeSchema,
  mediaReply
} from '../src/media/schema.js'
import type { Intake } from '../src/media/uploads.js'
import { DrmReply, drmReply } from '../src/protection/schema.js'
import { BodyByContentType } from '../src/schemas/body.js'
import { AnyIdParams, DateTime, IdParams, NoContent, Nullable, Uuid } from '../src/schemas/fields.js'
import { FilteredPageQuery, PageOf, SearchText, mapPage } from '../src/schemas/pagination.js'
import { PUBLISH_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import { isoTime } from '../src/time.js'
import type { Config } from '../src/config/config.js'

interface Options {
  access: Access
  links: PlaybackLinks
  intake: Intake
  lectures: Lectures
  library: Library
  config: Pick<Config, 'streamTokenMaxSeconds'>
}

type LinkedMedia = Static<typeof LinkedMediaBody>

const tags = ['Media'] as const
const StreamUrlReply = Type.Object({
  stream_url: Type.String({
    examples: [
      'http://127.0.0.1:8000/media/stream/019377a4-3f00-7000-8000-000000000000' +
        '?exp=1764000000&gen=1&kid=…&lid=…&sub=…&sig=…'
    ]
  }),
  poster_url: Nullable(
    Type.String({ description: 'The poster image, opened by the same link; null if the media has none.' })
  ),
  drm: Type.Optional(DrmReply),
  expires_in: Type.Integer({ description: 'Seconds.' }),
  expires_at: DateTime(),
  media_id: Uuid()
})
const linkQuery = (maxSeconds: number) =>
  Type.Object({
    expires_in: Type.Optional(
      Type.Unsafe<number | 'auto'>({
        anyOf: [{ type: 'integer', minimum: 1, maximum: maxSeconds }, { const: 'auto' }],
        'x-message': `must be 1 to ${maxSeconds}, in seconds, or auto`,
        description: `Seconds, at most ${maxSeconds}; or \`auto\`: one and a half times the duration plus ten minutes.`,
        examples: [600]
      })
    ),
    continues: Type.Optional(
      Type.String({
        maxLength: 2048,
        description:
          'An earlier `stream_url` of this media, issued to the same account. Both links count as one view. ' +
          'Any other value is ignored.'
      })
    )
  })

const getMedia = {
  config: { auth: 'optional', scope: 'media:read' },
  schema: {
    operationId: 'getMedia',
    summary: 'Get a media',
    tags,
    params: AnyIdParams,
    response: { 200: MediaReply, ...problemResponses('not_found') }
  }
} as const

const getStreamUrl = (maxSeconds: number) =>
  ({
    config: { auth: 'optional', scope: 'links' },
    schema: {
      operationId: 'getStreamUrl',
      summary: 'Issue a link to the stream that expires',
      tags,
      params: AnyIdParams,
      querystring: linkQuery(maxSeconds),
      response: { 200: StreamUrlReply, ...problemResponses('not_found', 'media_not_ready') }
    }
  }) as const

const listMedia = {
  config: { auth: 'account', scope: 'media:read' },
  schema: {
    operationId: 'listMedia',
    summary: 'List your media, newest first',
    description: 'An administrator gets the media of every account.',
    tags,
    querystring: FilteredPageQuery({ type: Type.Optional(MediaTypeSchema), q: SearchText('a title') }),
    response: { 200: PageOf(MediaReply) }
  }
} as const

const createMedia = {
  config: { auth: { roles: publisherRoles }, form: MediaForm, idempotent: true, scope: 'uploads' },
  schema: {
    operationId: 'createMedia',
    summary: 'Upload a file, or add a media that is hosted elsewhere',
    description:
      'Send a file as a multipart form, in the field `file` or `media`; other fields may follow it. ' +
      'The content of the file decides its format. ' +
      'For a media that is hosted elsewhere send JSON: its stream redirects (302) to `file_url`.',
    tags,
    body: BodyByContentType({ 'application/json': LinkedMediaBody }),
    response: { 201: MediaReply, ...problemResponses(...PUBLISH_PROBLEMS, 'media_type_mismatch') }
  }
} as const

const updateMedia = {
  config: { auth: 'account', scope: 'media:write' },
  schema: {
    operationId: 'updateMedia',
    summary: 'Change the title, visibility or protection of a media',
    tags,
    params: IdParams,
    body: MediaPatch,
    response: { 200: MediaReply, ...problemResponses('not_owner', 'not_found', 'protection_required') }
  }
} as const

const deleteMedia = {
  config: { auth: 'account', scope: 'media:write' },
  schema: {
    operationId: 'deleteMedia',
    summary: 'Delete a media with its file, views and analytics',
    tags,
    params: IdParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found', 'media_in_use') }
  }
} as const

const revokeStreamUrls = {
  config: { auth: 'account', scope: 'links' },
  schema: {
    operationId: 'revokeStreamUrls',
    summary: 'Revoke every link issued so far',
    tags,
    params: IdParams,
    response: { 204: NoContent('Revoked.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  await app.register(readingRoutes, options)
  await app.register(changingRoutes, options)
}

const readingRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { access, links, library, config }) => {
  app.get('/media/:id', getMedia, async (request) => {
    const media = await access.visible(request.viewer, request.params.id)
    return mediaReply(media, mayChange(request.viewer, media))
  })

  app.get(
    '/media/:id/stream-url',
    getStreamUrl(config.streamTokenMaxSeconds),
    async ({ viewer, params, query, origin }) => {
      const media = await access.visible(viewer, params.id)
      const expiresInSeconds = links.lifetime(query.expires_in, media)
      const link = await links.mint(viewer, media, { expiresInSeconds, origin, continues: query.continues })
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

  app.get('/media', listMedia, async (request) => {
    const { id, role } = request.requireViewer()
    const { type, q: titlePart, ...page } = request.query
    const found = await library.list({ type, titlePart, ...(role !== 'admin' && { ownerId: id }) }, page)
    return mapPage(found, (media) => mediaReply(media, true))
  })
}

const changingRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { access, intake, lectures, library }) => {
  app.post('/media', createMedia, (request, reply) =>
    reply.createOnce(async (creation) => {
      const { id: ownerId } = request.requireViewer()
      await (request.isMultipart() ? upload(creation, ownerId) : link(creation, request.body, ownerId))
    })
  )

  async function upload (creation: Creation, ownerId: string): Promise<void> {
    const { fields, files } = await creation.receiveForm(MediaForm, intake.sinkFor(ownerId))
    const description = { ...fields, ownerId, uploaderId: ownerId }
    await intake.publish(files[0].received, description, (trx, media) =>
      creation.created(trx, `/media/${media.id}`, mediaReply(media, true))
    )
  }

  async function link (
    creation: Creation,
    { file_url: fileUrl, ...description }: LinkedMedia,
    ownerId: string
  ): Promise<void> {
    await intake.link({ ...description, ownerId, uploaderId: ownerId }, fileUrl, (trx, media) =>
      creation.created(trx, `/media/${media.id}`, mediaReply(media, true))
    )
  }

  app.patch('/media/:id', updateMedia, async (request) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    const { protection, ...texts } = request.body
    if (protection !== undefined) await lectures.changeProtection(media, protection)
    return mediaReply(await library.change(media.id, texts), true)
  })

  app.delete('/media/:id', deleteMedia, async (request, reply) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    await library.remove(media.id)
    return reply.code(204).send(null)
  })

  app.delete('/media/:id/stream-url', revokeStreamUrls, async (request, reply) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    await library.revokeLinks(media.id)
    return reply.code(204).send(null)
  })
}

export default routes
