import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Access } from '../src/access/permissions.js'
import { MiB } from '../src/bytes.js'
import type { Captions } from '../src/captions/captions.js'
import { CaptionQuery, CaptionReply, LanguageParams, captionReply, type CaptionFormat } from '../src/captions/schema.js'
import { ApiError } from '../src/errors.js'
import { readBody } from '../src/http/read-body.js'
import { AnyIdParams, NoContent } from '../src/schemas/fields.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  access: Access
  captions: Captions
}

/** One hour of speech is about 60 kB of text, so this is more than 100 hours. */
const MAX_BYTES = 10 * MiB
const FORMATS: Record<string, CaptionFormat> = { 'text/vtt': 'vtt', 'application/x-subrip': 'srt' }

const tags = ['Captions'] as const
const VTT = 'text/vtt; charset=utf-8'
const TRACK = '/media/:id/captions/:lang'

const putCaptions = {
  config: { auth: 'account', scope: 'media:write', rawBody: Object.keys(FORMATS) },
  schema: {
    operationId: 'putCaptions',
    summary: 'Store the captions of a media in a language',
    description:
      'Send WebVTT as `text/vtt`, or SRT as `application/x-subrip`, up to 10 MB. The text is UTF-8, or UTF-16 with a ' +
      'byte order mark. A file with faults is refused; `errors` has the line and column of each. ' +
      'Captions that exist in this language are replaced.',
    tags,
    params: LanguageParams,
    querystring: CaptionQuery,
    response: {
      200: CaptionReply,
      201: CaptionReply,
      ...problemResponses(
        'not_owner',
        'not_found',
        'too_many_captions',
        'upload_incomplete',
        'too_many_uploads',
        'overloaded'
      )
    }
  }
} as const

const listCaptions = {
  config: { auth: 'optional', scope: 'media:read' },
  schema: {
    operationId: 'listCaptions',
    summary: 'List the captions of a media, by language',
    tags,
    params: AnyIdParams,
    response: { 200: Type.Array(CaptionReply), ...problemResponses('not_found') }
  }
} as const

const getCaptions = {
  config: { auth: 'optional', scope: 'media:read' },
  schema: {
    operationId: 'getCaptions',
    summary: 'Get the description of captions',
    tags,
    params: LanguageParams,
    response: { 200: CaptionReply, ...problemResponses('not_found') }
  }
} as const

const deleteCaptions = {
  config: { auth: 'account', scope: 'media:write' },
  schema: {
    operationId: 'deleteCaptions',
    summary: 'Delete captions',
    tags,
    params: LanguageParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const getCaptionFile = {
  config: { auth: 'handler', scope: 'media:read', byLink: true, limit: 'none' },
  schema: {
    operationId: 'getCaptionFile',
    summary: 'Get captions as WebVTT by a link or a token',
    description: 'Opened in the same way as the stream, with the same query string. Any site may load it.',
    tags,
    params: LanguageParams,
    response: {
      200: { description: 'The captions.', content: { 'text/vtt': { schema: Type.String() } } },
      304: Type.Null({ description: 'Not modified.' }),
      ...problemResponses(...LINK_PROBLEMS, 'not_found')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  await app.register(describingRoutes, options)
  await app.register(uploadRoutes, options)
}

const describingRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { access, captions }) => {
  app.get('/media/:id/captions', listCaptions, async ({ viewer, params }) => {
    const media = await access.visible(viewer, params.id)
    return (await captions.list(media.id)).map(captionReply)
  })

  app.get(TRACK, getCaptions, async ({ viewer, params }) => {
    const media = await access.visible(viewer, params.id)
    return captionReply(await captions.find(media.id, params.lang))
  })

  app.delete(TRACK, deleteCaptions, async (request, reply) => {
    const { id, lang } = request.params
    const media = await access.changeable(request.requireViewer(), id)
    await captions.remove(media.id, lang)
    return reply.code(204).send(null)
  })

  app.get(`${TRACK}.vtt`, getCaptionFile, async (request, reply) => {
    const { id, lang } = request.params
    reply.header('access-control-allow-origin', '*')
    const { media } = await request.admit(id)
    const { text, track } = await captions.read(media.id, lang)
    return reply.type(VTT).sendText(text, { sha256: track.sha256, lastModified: track.updatedAt })
  })
}

const uploadRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { access, captions }) => {
  // The body reaches the handler unparsed, so that it is read only for an account that may change the media.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.put(TRACK, putCaptions, async (request, reply) => {
    const { id, lang } = request.params
    const { kind = 'captions', label, default: isDefault } = request.query
    const media = await access.changeable(request.requireViewer(), id)
    const format = formatOf(request.headers['content-type'])
    const bytes = await request.receiveUpload((body) => readBody(body, MAX_BYTES))
    const wanted = { mediaId: media.id, language: lang, kind, label, isDefault: isDefault === 'true', format, bytes }
    const { track, isNew } = await captions.put(wanted)
    if (isNew) reply.code(201).header('location', `/media/${media.id}/captions/${track.language}`)
    return captionReply(track)
  })
}

/** **Throws** `unsupported_content_type`. */
function formatOf (contentType = ''): CaptionFormat {
  const format = FORMATS[contentType.split(';', 1)[0]!.trim().toLowerCase()]
  if (format === undefined) {
    throw new ApiError('unsupported_content_type', { detail: `Send ${Object.keys(FORMATS).join(' or ')}.` })
  }
  return format
}

export default routes
