import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admissions } from '../src/access/admissions.js'
import {
  packageFileUrls,
  plainFileUrls,
  type PlayerDetails,
  type PlayerDetailsReader
} from '../src/access/player-details.js'
import type { Captions } from '../src/captions/captions.js'
import type { Chapters } from '../src/captions/chapters.js'
import { captionPlaylist, withTimestampMap } from '../src/captions/hls-captions.js'
import { CaptionReply, captionReply } from '../src/captions/schema.js'
import { ApiError } from '../src/errors.js'
import { MediaTypeSchema, type Media } from '../src/media/schema.js'
import type { PackageIndex } from '../src/protection/hls/package-index.js'
import type { PackageIndexes } from '../src/protection/hls/package-indexes.js'
import { isPackaged } from '../src/protection/protection.js'
import { AnyIdParams, Nullable, Uuid } from '../src/schemas/fields.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  admissions: Admissions
  captions: Captions
  chapters: Chapters
  details: PlayerDetailsReader
  indexes: PackageIndexes
}

const tags = ['Streaming'] as const
const PLAYLIST = 'application/vnd.apple.mpegurl'
const VTT = 'text/vtt; charset=utf-8'
const FOLDER = '/hls/:token/:id'
const OPEN = { 'access-control-allow-origin': '*', 'cache-control': 'no-store' }
const config = { byLink: true, limit: 'none' } as const
const TOKEN_PROBLEMS = [...LINK_PROBLEMS, 'not_found', 'media_not_ready'] as const

const DetailsReply = Type.Object({
  media_id: Uuid(),
  title: Type.String(),
  type: MediaTypeSchema,
  duration_seconds: Nullable(Type.Number()),
  poster_url: Nullable(Type.String()),
  captions: Type.Array(CaptionReply),
  chapters_url: Nullable(Type.String())
})

function detailsReply ({ media, posterUrl, captions, chaptersUrl }: PlayerDetails): Static<typeof DetailsReply> {
  return {
    media_id: media.id,
    title: media.title,
    type: media.type,
    duration_seconds: media.durationMs === null ? null : media.durationMs / 1000,
    poster_url: posterUrl,
    captions: captions.map((track) => ({ ...captionReply(track), url: track.url })),
    chapters_url: chaptersUrl
  }
}

const getPlayerDetails = {
  config: { ...config, auth: 'handler', scope: 'media:read' },
  schema: {
    operationId: 'getPlayerDetails',
    summary: 'Get title, poster, captions and chapters by a link or a token',
    description: 'Opened in the same way as the stream, with the same query string. It has the URLs for a player.',
    tags,
    params: AnyIdParams,
    response: { 200: DetailsReply, ...problemResponses(...LINK_PROBLEMS, 'not_found') }
  }
} as const

const tokenParams = { token: Type.String(), id: Type.String() }

const getPackageDetails = {
  config,
  schema: {
    operationId: 'getPackageDetails',
    summary: 'Get title, poster, captions and chapters of a protected media',
    description: 'It is next to the master playlist, and has the URLs for a player.',
    tags,
    params: Type.Object(tokenParams),
    response: { 200: DetailsReply, ...problemResponses(...TOKEN_PROBLEMS) }
  }
} as const

const getCaptionPlaylist = {
  config,
  schema: {
    operationId: 'getCaptionPlaylist',
    summary: 'Get the playlist of captions',
    description: 'The master playlist names it as a rendition of the type SUBTITLES.',
    tags,
    params: Type.Object({ ...tokenParams, lang: Type.String() }),
    response: {
      200: { description: 'A media playlist.', content: { [PLAYLIST]: { schema: Type.String() } } },
      ...problemResponses(...TOKEN_PROBLEMS)
    }
  }
} as const

const getCaptionSegment = {
  config,
  schema: {
    operationId: 'getCaptionSegment',
    summary: 'Get captions with the timestamps of the encrypted stream',
    description: 'WebVTT with an X-TIMESTAMP-MAP (RFC 8216, section 3.5).',
    tags,
    params: Type.Object({ ...tokenParams, lang: Type.String() }),
    response: {
      200: { description: 'The captions.', content: { 'text/vtt': { schema: Type.String() } } },
      ...problemResponses(...TOKEN_PROBLEMS)
    }
  }
} as const

const getPackageChapters = {
  config,
  schema: {
    operationId: 'getPackageChapters',
    summary: 'Get the chapters of a protected media as WebVTT',
    tags,
    params: Type.Object(tokenParams),
    response: {
      200: { description: 'The chapters.', content: { 'text/vtt': { schema: Type.String() } } },
      ...problemResponses(...TOKEN_PROBLEMS)
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  const { admissions, captions, chapters, details, indexes } = options

  app.get('/media/:id/player.json', getPlayerDetails, async (request, reply) => {
    reply.headers(OPEN)
    const { media, link } = await request.admit(request.params.id)
    const query = link === undefined ? '' : request.rawQuery
    return detailsReply(await details.of(media, plainFileUrls(request.origin, media.id, query)))
  })

  app.get(`${FOLDER}/player.json`, getPackageDetails, async (request, reply) => {
    const media = await admit(request, reply)
    return detailsReply(await details.of(media, packageFileUrls(request.origin, media.id, request.params.token)))
  })

  app.get(`${FOLDER}/captions-:lang.m3u8`, getCaptionPlaylist, async (request, reply) => {
    const media = await admit(request, reply)
    const { language } = await captions.find(media.id, request.params.lang)
    const { durations } = await indexOf(media)
    const milliseconds = durations.reduce((sum, duration) => sum + duration, 0)
    return reply.type(PLAYLIST).send(captionPlaylist(language, milliseconds))
  })

  app.get(`${FOLDER}/captions-:lang.vtt`, getCaptionSegment, async (request, reply) => {
    const media = await admit(request, reply)
    const { text } = await captions.read(media.id, request.params.lang)
    const { zeroTicks } = await indexOf(media)
    return reply.type(VTT).send(withTimestampMap(text, zeroTicks))
  })

  app.get(`${FOLDER}/chapters.vtt`, getPackageChapters, async (request, reply) => {
    const media = await admit(request, reply)
    return reply.type(VTT).send(await chapters.vtt(media))
  })

  async function admit (request: FastifyRequest, reply: FastifyReply): Promise<Media> {
    const { token, id } = request.params as { token: string; id: string }
    // Safari opens a playlist as a document, and would apply the Content-Security-Policy to it.
    reply.removeHeader('content-security-policy').headers(OPEN)
    return (await admissions.admitToken(id, token)).media
  }

  async function indexOf (media: Media): Promise<PackageIndex> {
    if (!isPackaged(media)) throw new ApiError('not_found')
    return await indexes.of(media.id, media.packaged)
  }
}

export default routes
