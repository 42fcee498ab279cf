import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { requirePoster, type Admission, type Admissions } from '../src/access/admissions.js'
import { ApiError } from '../src/errors.js'
import type { Media } from '../src/media/schema.js'
import { answerFor, type StreamRequest } from '../src/playback/answer.js'
import { entityTag, type Validators } from '../src/playback/conditional.js'
import { inlineDisposition } from '../src/playback/content-disposition.js'
import { AnyIdParams } from '../src/schemas/fields.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
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
        'precondition_failed',
        'range_not_satisfiable',
        'too_many_streams',
        'overloaded'
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
      'Opened in the same way as the stream; `GET /media/{id}/stream-url` returns its URL. ' +
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
  const { sendFile, sendElsewhere } = createSender(clock)

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
    return admission.media.blobName === null
      ? await sendElsewhere(request, reply, admission)
      : await sendFile(request, reply, admission)
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

function createSender (clock: Clock) {
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

  async function sendFile (request: FastifyRequest, reply: FastifyReply, admission: Admission): Promise<FastifyReply> {
    const { media } = admission
    const { validators, disposition } = representationOf(media)
    const { status, headers, body } = answerFor(streamRequestOf(request), media.sizeBytes!, validators, clock.now())
    if (status === 412) throw new ApiError('precondition_failed', { headers })
    if (status === 416) throw new ApiError('range_not_satisfiable', { headers })
    const send = body && (await reply.code(status).openFile(media.blobName!, admission))
    reply.code(status).headers(headers).header('content-disposition', disposition)
    if (status !== 304) reply.type(media.contentType!)
    if (body === undefined || send === undefined) return reply.send()
    if (body.start === 0) await request.countView(admission)
    return send(body)
  }

  return { sendFile, sendElsewhere }
}

/** Returns the method and the headers that decide how a file is sent. */
function streamRequestOf ({ method, headers }: FastifyRequest): StreamRequest {
  return {
    method,
    range: headers.range,
    ifMatch: headers['if-match'],
    ifUnmodifiedSince: headers['if-unmodified-since'],
    ifNoneMatch: headers['if-none-match'],
    ifModifiedSince: headers['if-modified-since'],
    ifRange: headers['if-range'] as string | undefined
  }
}

const representations = new WeakMap<Media, { validators: Validators; disposition: string }>()

/** Returns the validators and the disposition of a file, computed once for each record of its media. */
function representationOf (media: Media): { validators: Validators; disposition: string } {
  let known = representations.get(media)
  if (known === undefined) {
    known = {
      validators: { etag: entityTag(media.sha256!), lastModified: media.createdAt },
      disposition: inlineDisposition(media.title, media.contentType!)
    }
    representations.set(media, known)
  }
  return known
}

export default routes
