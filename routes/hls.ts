import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Demand, StreamGate } from '../src/access/playback-links.js'
import { ApiError } from '../src/errors.js'
import { problemResponses } from '../src/schemas/problem.js'
import { openContentKey } from '../src/protection/content-keys.js'
import { isPackaged, type PackagedMedia } from '../src/protection/protection.js'
import type { PackageIndexes } from '../src/protection/hls/package-indexes.js'
import { masterPlaylist, mediaPlaylist } from '../src/protection/hls/playlists.js'
import type { Playback } from '../src/protection/provider.js'
import type { Keyring } from '../src/secrets/keyring.js'
import { SECOND, type Clock } from '../src/time.js'
import type { Views } from '../src/views/views.js'

interface Options {
  gate: StreamGate
  indexes: PackageIndexes
  views: Views
  keys: Keyring
  now: Clock
}
type PackagedAdmission = Admission & { media: PackagedMedia }

const PLAYLIST = 'application/vnd.apple.mpegurl'
const SEGMENT = /^segment-(0|[1-9]\d{0,5})\.ts$/

const routes: FastifyPluginAsync<Options> = async (app, { gate, indexes, views, keys, now }) => {
  const options = {
    config: { limit: 'none' as const, byLink: true as const },
    exposeHeadRoute: false,
    schema: {
      operationId: 'streamProtected',
      summary: 'Playlists, key and segments of a protected media',
      description:
        'The address of `master.m3u8` comes from `GET /media/{id}/stream-url`; all others are relative to it. The token says and ends what a link does. Whether its account may watch is asked again for each of them, the key included.',
      tags: ['Streaming'],
      security: [],
      params: Type.Object({
        token: Type.String(),
        id: Type.String(),
        file: Type.String({ examples: ['master.m3u8', 'media.m3u8', 'content.key', 'segment-0.ts', 'poster.jpg'] })
      }),
      response: {
        302: Type.Null({ description: 'The playlist or picture of a media that is played by another provider.' }),
        200: {
          description: 'A playlist, the AES-128 key, or an encrypted segment.',
          content: {
            [PLAYLIST]: { schema: Type.String() },
            'application/octet-stream': { schema: Type.String({ format: 'binary' }) },
            'video/mp2t': { schema: Type.String({ format: 'binary' }) }
          }
        },
        ...problemResponses(
          'stream_link_invalid',
          'stream_link_expired',
          'stream_link_revoked',
          'not_found',
          'media_not_ready',
          'video_provider_missing',
          'too_many_streams',
          'overloaded'
        )
      }
    }
  }
  app.get('/hls/:token/:id/:file', options, handler)
  app.head('/hls/:token/:id/:file', { ...options, schema: { ...options.schema, hide: true } }, handler)

  async function handler (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { token, id, file } = request.params as { token: string; id: string; file: string }
    // The token is the right: a page on any site may play what it was given the address of.
    // Safari shows a playlist as a page of its own, and the policy of that page would be this one.
    reply
      .removeHeader('content-security-policy')
      .headers({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
    const admitted = await gate.admitToken(id, token, demandOf(file))
    reply.stillAllowed = () => gate.admitToken(id, token)
    const hosted = await gate.hostedPlayback(admitted, request.origin)
    if (hosted !== undefined) return await sendElsewhere(request, reply, admitted, file, hosted)
    if (!isPackaged(admitted.media)) throw new ApiError('not_found')
    const admission = { ...admitted, media: admitted.media }
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

  /** A picture of Mux has no blob here. */
  function demandOf (file: string): Demand | undefined {
    return file === 'poster.jpg'
      ? (admission) => {
          if (admission.media.provider === 'local') gate.requirePoster(admission)
        }
      : undefined
  }

  /** What another provider serves is never seen here: being sent there is the view. */
  async function sendElsewhere (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: Admission,
    file: string,
    { url: playlist, posterUrl }: Playback
  ): Promise<FastifyReply> {
    const url = file === 'master.m3u8' ? playlist : file === 'poster.jpg' ? posterUrl : null
    if (url === null) throw new ApiError('not_found')
    if (request.method === 'GET' && url === playlist) await countView(request, admission)
    return reply.redirect(url, 302)
  }

  async function countView (request: FastifyRequest, { media, link, accountId }: Admission): Promise<void> {
    const onlooker = { address: request.ip, accountId, userAgent: request.headers['user-agent'] }
    await views.countStream(media.id, link!.linkId, onlooker, (error) =>
      request.log.warn({ err: error }, 'a view was not counted')
    )
  }

  async function sendSegment (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: PackagedAdmission,
    number: string | undefined
  ): Promise<FastifyReply> {
    const { media, link } = admission
    const place =
      number === undefined ? undefined : (await indexes.of(media.id, media.packaged)).placeOf(Number(number))
    if (place === undefined) throw new ApiError('not_found')
    const secondsLeft = Math.max(0, link!.expiresAt - Math.floor(now() / SECOND))
    const send = request.method === 'HEAD' ? undefined : await reply.openBlob(media.packaged.blobName, admission)
    reply.type('video/mp2t').headers({
      etag: `"${media.packaged.blobName}-${number}"`,
      'content-length': String(place.end - place.start + 1),
      'cache-control': `private, max-age=${secondsLeft}`
    })
    if (send === undefined) return reply.send()
    if (number === '0') await countView(request, admission)
    return send(place)
  }
}

export default routes
