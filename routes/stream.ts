import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { requirePoster, type Admission, type Admissions } from '../src/access/admissions.js'
import { playedFile } from '../src/media/played-file.js'
import type { Media } from '../src/media/schema.js'
import { inlineDisposition } from '../src/playback/content-disposition.js'
import { AnyIdParams } from '../src/schemas/fields.js'
import { FILE_PROBLEMS, LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import { SECOND, type Clock } from '../src/time.js'

interface Options {
  admissions: Admissions
  clock: Clock
}

const tags = ['Streaming'] as const
const config = { auth: 'handler', scope: 'media:read', byLink: true, limit: 'none' } as const
const binary = { schema: Type.String({ format: 'binary' }) }
const bytes = { 'video/*': binary, 'audio/*': binary }

const stream = {
  config,
  exposeHeadRoute: false,
  schema: {
    operationId: 'stream',
    summary: 'Stream a media by a link or a token',
    description:
      'Send the query string that `GET /media/{id}/stream-url` returned, or the token of an account that may watch. ' +
      'If a request has both, the link decides. `/media/{id}/stream` is the same route. ' +
      'The response is cut within seconds after the link expires or is revoked, or the account loses its access.',
    tags,
    params: AnyIdParams,
    response: {
      200: { description: 'The whole file.', content: bytes },
      206: { description: 'One range of the file.', content: bytes },
      302: Type.Null({ description: 'The media is hosted elsewhere.' }),
      304: Type.Null({ description: 'Not modified.' }),
      ...problemResponses(
        ...LINK_PROBLEMS,
        'media_protected',
        'not_found',
        'media_not_ready',
        ...FILE_PROBLEMS
      )
    }
  }
} as const

const streamHead = {
  ...stream,
  schema: { ...stream.schema, operationId: 'streamHead', summary: 'Get the headers of the stream' }
} as const

const getPoster = {
  config,
  schema: {
    operationId: 'getPoster',
    summary: 'Get a picture of a video by a link or a token',
    description:
      'Authorized like the stream. `GET /media/{id}/stream-url` returns its URL. ' +
      'A picture exists soon after the upload, if the server has ffmpeg.',
    tags,
    params: AnyIdParams,
    response: {
      200: { description: 'The picture.', content: { 'image/jpeg': binary } },
      ...problemResponses(...LINK_PROBLEMS, 'not_found', 'too_many_streams', 'overloaded')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { admissions, clock }) => {
  app.get('/media/stream/:id', stream, async (request, reply) => {
    await send(request, request.params.id, reply)
    return reply
  })
  app.head('/media/stream/:id', streamHead, async (request, reply) => {
    await send(request, request.params.id, reply)
    return reply
  })

  app.get('/media/:id/poster.jpg', getPoster, async (request, reply) => {
    const { id } = request.params
    const admission = await request.admit(id, requirePoster)
    reply.stillAllowed = () => request.admitAgain(id, requirePoster)
    setMediaHeaders(reply, admission)
    return await reply.type('image/jpeg').sendBlob(admission.media.posterBlob!, admission)
  })

  async function send (request: FastifyRequest, id: string, reply: FastifyReply): Promise<FastifyReply> {
    const admission = await request.admit(id, admissions.requirePlain)
    reply.stillAllowed = () => request.admitAgain(id, admissions.requirePlain)
    setMediaHeaders(reply, admission)
    const representation = knownRepresentation(admission.media)
    return representation === undefined
      ? await sendElsewhere(request, reply, admission)
      : await reply.sendMediaFile({ ...representation, admission, onStart: () => request.countView(admission) })
  }

  function setMediaHeaders (reply: FastifyReply, { link }: Admission): void {
    const secondsLeft = link === undefined ? 0 : Math.max(0, link.expiresAt - Math.floor(clock.now() / SECOND))
    reply.headers({
      'content-security-policy': "default-src 'none'; media-src 'self'",
      'cache-control': `private, max-age=${secondsLeft}`
    })
    // A video with captions of another site needs it. A valid link opens the stream on every site anyway.
    if (link !== undefined) reply.header('access-control-allow-origin', '*')
  }
}

/** Another server sends the bytes, so the redirect counts as the view. */
async function sendElsewhere (
  request: FastifyRequest,
  reply: FastifyReply,
  admission: Admission
): Promise<FastifyReply> {
  if (request.method === 'GET' && /^(?:bytes=0-.*)?$/.test(request.headers.range ?? '')) {
    await request.countView(admission)
  }
  return reply.redirect(new URL(admission.media.fileUrl!).href, 302)
}

type Representation = ReturnType<typeof representationOf>

const representations = new WeakMap<Media, Representation>()

/** Returns the file of a stream and its disposition, computed once for each record of its media. */
function knownRepresentation (media: Media): Representation {
  let known = representations.get(media)
  if (known === undefined) {
    known = representationOf(media)
    representations.set(media, known)
  }
  return known
}

/** Undefined for a media that is hosted elsewhere. */
function representationOf (media: Media) {
  const file = playedFile(media)
  return file && { file, disposition: inlineDisposition(media.title, file.contentType) }
}

export default routes
