import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admissions, LinkAdmission } from '../src/access/admissions.js'
import type { PlaybackLinks } from '../src/access/playback-links.js'
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
  links: PlaybackLinks
  indexes: PackageIndexes
  secrets: Secrets
  clock: Clock
}
type PackagedAdmission = LinkAdmission & { media: PackagedMedia }

const PLAYLIST = 'application/vnd.apple.mpegurl'
const SEGMENT = /^segment-(0|[1-9]\d{0,5})\.ts$/

const streamProtected = {
  config: { byLink: true, limit: 'none' },
  exposeHeadRoute: false,
  schema: {
    operationId: 'streamProtected',
    summary: 'Get a playlist, the key, a segment or the picture of a protected media',
    description:
      'The URL of `master.m3u8` comes from `GET /media/{id}/stream-url`; all others are relative to it. ' +
      'The token expires and is revoked like a link. ' +
      'Each request, also one for the key, checks that the account of the token may watch.',
    tags: ['Streaming'],
    params: Type.Object({
      token: Type.String(),
      id: Type.String(),
      file: Type.String({ examples: ['master.m3u8', 'media.m3u8', 'content.key', 'segment-0.ts', 'poster.jpg'] })
    }),
    response: {
      302: Type.Null({ description: 'The playlist or picture of a media that another provider plays.' }),
      200: {
        description: 'A playlist, the AES-128 key, or an encrypted segment.',
        content: {
          [PLAYLIST]: { schema: Type.String() },
          'application/octet-stream': { schema: Type.String({ format: 'binary' }) },
          'video/mp2t': { schema: Type.String({ format: 'binary' }) }
        }
      },
      ...problemResponses(
        ...LINK_PROBLEMS,
        'not_found',
        'media_not_ready',
        'video_provider_missing',
        'secret_key_missing',
        'too_many_streams',
        'overloaded'
      )
    }
  }
} as const

const streamProtectedHead = { ...streamProtected, schema: { ...streamProtected.schema, hide: true } } as const

/** The parameters of a path, as the type provider reads them. */
type Params = Static<typeof streamProtected.schema.params>

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  const { admissions, links } = options
  const sendPackaged = createSender(options)

  app.get('/hls/:token/:id/:file', streamProtected, async (request, reply) => {
    await send(request, request.params, reply)
    return reply
  })
  app.head('/hls/:token/:id/:file', streamProtectedHead, async (request, reply) => {
    await send(request, request.params, reply)
    return reply
  })

  /** A package from the cache may have been replaced: its key is read again, and so is one that gives a 404. */
  async function send (request: FastifyRequest, params: Params, reply: FastifyReply): Promise<FastifyReply> {
    try {
      return await sendFrom(request, params, reply, params.file === 'content.key')
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'not_found') throw error
      return await sendFrom(request, params, reply, true)
    }
  }

  async function sendFrom (
    request: FastifyRequest,
    { token, id, file }: Params,
    reply: FastifyReply,
    fresh: boolean
  ): Promise<FastifyReply> {
    // The token is the right to play, on a page of any site that got the URL.
    // Safari shows a playlist as a page of its own, and would apply the policy to it.
    reply
      .removeHeader('content-security-policy')
      .headers({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
    const admission = await admissions.admitToken(id, token, { fresh })
    reply.stillAllowed = () => admissions.admitToken(id, token)
    const hosted = await links.hostedPlayback(admission, request.origin)
    if (hosted !== undefined) return await sendElsewhere(request, reply, admission, file, hosted)
    const { media } = admission
    if (!isPackaged(media)) throw new ApiError('not_found')
    return await sendPackaged(request, reply, { ...admission, media }, file)
  }

  /** The bytes that another provider serves do not pass here: the redirect is the view. */
  async function sendElsewhere (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: LinkAdmission,
    file: string,
    { url: playlist, posterUrl }: Playback
  ): Promise<FastifyReply> {
    const url = new Map([
      ['master.m3u8', playlist],
      ['poster.jpg', posterUrl]
    ]).get(file)
    if (typeof url !== 'string') throw new ApiError('not_found')
    if (request.method === 'GET' && url === playlist) await request.countView(admission)
    return reply.redirect(url, 302)
  }
}

function createSender ({ indexes, secrets, clock }: Options) {
  const keys = secrets.keyring('media')
  async function sendPackaged (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: PackagedAdmission,
    file: string
  ): Promise<FastifyReply> {
    const { media } = admission
    if (file === 'master.m3u8') {
      return reply.type(PLAYLIST).send(masterPlaylist(await indexes.of(media.id, media.packaged), media))
    }
    if (file === 'media.m3u8') {
      return reply.type(PLAYLIST).send(mediaPlaylist(await indexes.of(media.id, media.packaged)))
    }
    if (file === 'poster.jpg' && media.posterBlob !== null) {
      return await reply.type('image/jpeg').sendBlob(media.posterBlob, admission)
    }
    if (file === 'content.key') {
      return reply.type('application/octet-stream').send(openContentKey(media.packaged.contentKey, media.id, keys))
    }
    return await sendSegment(request, reply, admission, SEGMENT.exec(file)?.[1])
  }

  async function sendSegment (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: PackagedAdmission,
    number: string | undefined
  ): Promise<FastifyReply> {
    if (number === undefined) throw new ApiError('not_found')
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

  return sendPackaged
}

export default routes
