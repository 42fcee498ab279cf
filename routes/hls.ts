import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Admissions, LinkAdmission } from '../src/access/admissions.js'
import type { PlaybackLinks } from '../src/access/playback-links.js'
import type { Captions } from '../src/captions/captions.js'
import { withSubtitles } from '../src/captions/hls-captions.js'
import { ApiError } from '../src/errors.js'
import { openContentKey } from '../src/protection/content-keys.js'
import { isPackaged, type PackagedMedia } from '../src/protection/protection.js'
import type { PackageIndexes } from '../src/protection/hls/package-indexes.js'
import { masterPlaylist, mediaPlaylist } from '../src/protection/hls/playlists.js'
import type { Playback } from '../src/protection/provider.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import type { Secrets } from '../src/secrets/keyring.js'
import { SECOND, type Clock } from '../src/time.js'

interface Options {
  admissions: Admissions
  captions: Captions
  links: PlaybackLinks
  indexes: PackageIndexes
  secrets: Secrets
  clock: Clock
}
type PackagedAdmission = LinkAdmission & { media: PackagedMedia }

/** Sends one file of a package. */
type Send = (request: FastifyRequest, reply: FastifyReply, admission: PackagedAdmission) => Promise<FastifyReply>

/** One file of a package, below `/hls/:token/:id/`. */
interface PackageFile {
  path: string
  schema: FastifySchema
  send: Send
  /** The URL of the file at another provider; undefined or null if this server sends the file. */
  hostedUrl?: (playback: Playback) => string | null
  /** Reads the media again each time: a cached record may contain the key of a replaced package. */
  fresh?: boolean
}

interface Params {
  token: string
  id: string
  number?: string
}

const FOLDER = '/hls/:token/:id'
const PLAYLIST = 'application/vnd.apple.mpegurl'
const SEGMENT_NUMBER = /^(?:0|[1-9]\d{0,5})$/

const description = (text: string) =>
  `${text} The token expires and is revoked like a link. Each request checks that the account of the token may watch.`

const params = { token: Type.String(), id: Type.String() }
const redirect = { 302: Type.Null({ description: 'The file at the provider that plays the media.' }) }
const binary = Type.String({ format: 'binary' })
const PROBLEMS = [...LINK_PROBLEMS, 'not_found', 'media_not_ready', 'video_provider_missing'] as const
const BYTES_PROBLEMS = [...PROBLEMS, 'too_many_streams', 'overloaded'] as const

const getMasterPlaylist = {
  operationId: 'getMasterPlaylist',
  summary: 'Get the master playlist of a protected media',
  description: description('Its URL comes from `GET /media/{id}/stream-url`; all others are relative to it.'),
  tags: ['Streaming'],
  params: Type.Object(params),
  response: {
    200: { description: 'A master playlist.', content: { [PLAYLIST]: { schema: Type.String() } } },
    ...redirect,
    ...problemResponses(...PROBLEMS)
  }
}

const getMediaPlaylist = {
  operationId: 'getMediaPlaylist',
  summary: 'Get the media playlist of a protected media',
  description: description('It lists the segments and names the key.'),
  tags: ['Streaming'],
  params: Type.Object(params),
  response: {
    200: { description: 'A media playlist.', content: { [PLAYLIST]: { schema: Type.String() } } },
    ...problemResponses(...PROBLEMS)
  }
}

const getContentKey = {
  operationId: 'getContentKey',
  summary: 'Get the content key of a protected media',
  description: description('It decrypts all segments of the media.'),
  tags: ['Streaming'],
  params: Type.Object(params),
  response: {
    200: { description: 'An AES-128 key, 16 bytes.', content: { 'application/octet-stream': { schema: binary } } },
    ...problemResponses(...PROBLEMS, 'secret_key_missing')
  }
}

const getSegment = {
  operationId: 'getSegment',
  summary: 'Get a segment of a protected media',
  description: description('Segments are encrypted with AES-128-CBC (RFC 8216 4.3.2.4).'),
  tags: ['Streaming'],
  params: Type.Object({ ...params, number: Type.String({ examples: ['0'] }) }),
  response: {
    200: { description: 'An encrypted segment.', content: { 'video/mp2t': { schema: binary } } },
    ...problemResponses(...BYTES_PROBLEMS)
  }
}

const getProtectedPoster = {
  operationId: 'getProtectedPoster',
  summary: 'Get the picture of a protected media',
  description: description('404 if the media has none.'),
  tags: ['Streaming'],
  params: Type.Object(params),
  response: {
    200: { description: 'A JPEG.', content: { 'image/jpeg': { schema: binary } } },
    ...redirect,
    ...problemResponses(...BYTES_PROBLEMS)
  }
}

const routes: FastifyPluginAsync<Options> = async (app, options) => {
  for (const file of packageFiles(options)) addFile(app, file, options)
}

function packageFiles ({ captions, indexes, secrets, clock }: Options): PackageFile[] {
  const keys = secrets.keyring('media')
  return [
    {
      path: 'master.m3u8',
      schema: getMasterPlaylist,
      hostedUrl: ({ url }) => url,
      async send (_request, reply, { media }) {
        const playlist = masterPlaylist(await indexes.of(media.id, media.packaged))
        return reply.type(PLAYLIST).send(withSubtitles(playlist, await captions.list(media.id)))
      }
    },
    {
      path: 'media.m3u8',
      schema: getMediaPlaylist,
      send: async (_request, reply, { media }) =>
        reply.type(PLAYLIST).send(mediaPlaylist(await indexes.of(media.id, media.packaged)))
    },
    {
      path: 'content.key',
      schema: getContentKey,
      fresh: true,
      send: async (_request, reply, { media }) =>
        reply.type('application/octet-stream').send(openContentKey(media.packaged.contentKey, media.id, keys))
    },
    { path: 'segment-:number.ts', schema: getSegment, send: createSegmentSender(indexes, clock) },
    {
      path: 'poster.jpg',
      schema: getProtectedPoster,
      hostedUrl: ({ posterUrl }) => posterUrl,
      async send (_request, reply, admission) {
        if (admission.media.posterBlob === null) throw new ApiError('not_found')
        return await reply.type('image/jpeg').sendBlob(admission.media.posterBlob, admission)
      }
    }
  ]
}

function createSegmentSender (indexes: PackageIndexes, clock: Clock): Send {
  return async (request, reply, admission) => {
    const { number = '' } = request.params as Params
    if (!SEGMENT_NUMBER.test(number)) throw new ApiError('not_found')
    const { media, link } = admission
    const place = (await indexes.of(media.id, media.packaged)).placeOf(Number(number))
    if (place === undefined) throw new ApiError('not_found')
    const secondsLeft = Math.max(0, link.expiresAt - Math.floor(clock.now() / SECOND))
    const send = request.method === 'HEAD' ? undefined : await reply.openBlob(media.packaged.blobName, admission)
    reply.type('video/mp2t').headers({
      etag: `"${media.packaged.blobName}-${number}"`,
      'content-length': String(place.end - place.start + 1),
      'cache-control': `private, max-age=${secondsLeft}`
    })
    if (send === undefined) return reply.send()
    if (number === '0') await request.countView(admission)
    return send(place)
  }
}

/** Adds GET and HEAD of one file. */
function addFile (app: FastifyInstance, file: PackageFile, { admissions, links }: Options): void {
  const { path, schema, send, hostedUrl = () => null, fresh = false } = file
  const config = { byLink: true, limit: 'none' } as const

  app.get(`${FOLDER}/${path}`, { config, exposeHeadRoute: false, schema }, respond)
  app.head(`${FOLDER}/${path}`, { config, schema: { ...schema, hide: true } }, respond)

  /** A cached package may have been replaced, so the media is read again before a 404. */
  async function respond (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    try {
      return await respondFrom(request, reply, fresh)
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'not_found') throw error
      return await respondFrom(request, reply, true)
    }
  }

  async function respondFrom (request: FastifyRequest, reply: FastifyReply, fresh: boolean): Promise<FastifyReply> {
    const { token, id } = request.params as Params
    // CORS allows every origin: every site may play a URL that contains a valid token. The policy is removed, because
    // Safari opens a playlist as a page and would apply the policy to it.
    reply
      .removeHeader('content-security-policy')
      .headers({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
    const admission = await admissions.admitToken(id, token, { fresh })
    reply.stillAllowed = () => admissions.admitToken(id, token)
    const hosted = await links.hostedPlayback(admission, request.origin)
    if (hosted !== undefined) return await redirectTo(hosted, request, reply, admission)
    const { media } = admission
    if (!isPackaged(media)) throw new ApiError('not_found')
    return await send(request, reply, { ...admission, media })
  }

  /** Another provider sends the bytes, so this server counts the redirect to the playlist as the view. */
  async function redirectTo (
    hosted: Playback,
    request: FastifyRequest,
    reply: FastifyReply,
    admission: LinkAdmission
  ): Promise<FastifyReply> {
    const url = hostedUrl(hosted)
    if (url === null) throw new ApiError('not_found')
    if (request.method === 'GET' && url === hosted.url) await request.countView(admission)
    return reply.redirect(url, 302)
  }
}

export default routes
