import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Demand, StreamGate } from '../src/access/playback-links.js'
import { ApiError } from '../src/errors.js'
import type { Media } from '../src/media/schema.js'
import { answerFor, type StreamRequest } from '../src/playback/answer.js'
import { entityTag, type Validators } from '../src/playback/conditional.js'
import { inlineDisposition } from '../src/playback/content-disposition.js'
import { isLinkQuery } from '../src/playback/link.js'
import { problemResponses } from '../src/schemas/problem.js'
import { SECOND, type Clock } from '../src/time.js'
import type { Views } from '../src/views/views.js'

interface Options {
  gate: StreamGate
  views: Views
  now: Clock
}

const bytes = {
  'video/*': { schema: Type.String({ format: 'binary' }) },
  'audio/*': { schema: Type.String({ format: 'binary' }) }
}

const routes: FastifyPluginAsync<Options> = async (app, { gate, views, now }) => {
  const schema = {
    summary: 'The bytes, by a link or a token',
    description:
      'Opened by the query string that `GET /media/{id}/stream-url` gave, or by the token of someone who may watch. With both, the link is judged. `/media/{id}/stream` is the same route. The stream is cut within seconds when the link expires or is revoked, or when its account may not watch any more.',
    tags: ['Streaming'],
    security: [{}, { bearer: [] }, { login: [] }] as Array<Record<string, string[]>>,
    params: Type.Object({ id: Type.String({ examples: ['019377a4-3f00-7000-8000-000000000000'] }) }),
    response: {
      200: { description: 'The whole file.', content: bytes },
      206: { description: 'One range of it.', content: bytes },
      302: Type.Null({ description: 'The media lives elsewhere.' }),
      304: Type.Null({ description: 'Not modified.' }),
      ...problemResponses(
        'not_authenticated',
        'invalid_token',
        'stream_link_invalid',
        'stream_link_expired',
        'stream_link_revoked',
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
  const options = { config: { limit: 'none' as const, byLink: true as const }, exposeHeadRoute: false }
  app.get('/media/stream/:id', { ...options, schema: { ...schema, operationId: 'stream' } }, handler)
  app.head(
    '/media/stream/:id',
    { ...options, schema: { ...schema, operationId: 'streamHead', summary: 'What the stream would answer' } },
    handler
  )

  app.get(
    '/media/:id/poster.jpg',
    {
      ...options,
      exposeHeadRoute: true,
      schema: {
        operationId: 'getPoster',
        summary: 'A picture of a video, by a link or a token',
        description:
          'Opened as the stream is; `GET /media/{id}/stream-url` gives its address. Made where ffmpeg is installed, soon after the upload.',
        tags: schema.tags,
        security: schema.security,
        params: schema.params,
        response: {
          200: {
            description: 'The picture.',
            content: { 'image/jpeg': { schema: Type.String({ format: 'binary' }) } }
          },
          ...problemResponses(
            'not_authenticated',
            'invalid_token',
            'stream_link_invalid',
            'stream_link_expired',
            'stream_link_revoked',
            'not_found',
            'too_many_streams',
            'overloaded'
          )
        }
      }
    },
    async (request, reply) => {
      const admission = await admit(request, gate.requirePoster)
      reply.stillAllowed = () => admitAgain(request, gate.requirePoster)
      setMediaHeaders(reply, admission)
      return await reply.type('image/jpeg').sendBlob(admission.media.posterBlob!, admission)
    }
  )

  async function handler (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const admission = await admit(request, gate.requirePlain)
    reply.stillAllowed = () => admitAgain(request, gate.requirePlain)
    setMediaHeaders(reply, admission)
    return admission.media.blobName === null
      ? await sendElsewhere(request, reply, admission)
      : await sendFile(request, reply, admission)
  }

  async function admit (request: FastifyRequest, demand: Demand): Promise<Admission> {
    const { id } = request.params as { id: string }
    if (isLinkQuery(request.rawQuery)) return await gate.admitLink(id, request.rawQuery, demand)
    request.viewer = await app.identify(request)
    return await gate.admitViewer(request.requireViewer(), id, demand)
  }

  /** A token may expire while a file is sent, a link may not: it says how long it lets watch. */
  async function admitAgain (request: FastifyRequest, demand: Demand): Promise<Admission> {
    const { id } = request.params as { id: string }
    if (isLinkQuery(request.rawQuery)) return await gate.admitLink(id, request.rawQuery, demand)
    return await gate.admitViewer(await app.identifyAgain(request), id, demand)
  }

  function setMediaHeaders (reply: FastifyReply, { link }: Admission): void {
    const secondsLeft = link === undefined ? 0 : Math.max(0, link.expiresAt - Math.floor(now() / SECOND))
    reply.headers({
      'content-security-policy': "default-src 'none'; media-src 'self'",
      'cache-control': `private, max-age=${secondsLeft}`
    })
  }

  async function sendElsewhere (
    request: FastifyRequest,
    reply: FastifyReply,
    admission: Admission
  ): Promise<FastifyReply> {
    if (request.method === 'GET' && /^(?:bytes=0-.*)?$/.test(request.headers.range ?? '')) {
      await countView(request, admission)
    }
    return reply.redirect(new URL(admission.media.fileUrl!).href, 302)
  }

  async function sendFile (request: FastifyRequest, reply: FastifyReply, admission: Admission): Promise<FastifyReply> {
    const { media } = admission
    const { validators, disposition } = representationOf(media)
    const { status, headers, body } = answerFor(streamRequestOf(request), media.sizeBytes!, validators, now())
    if (status === 412) throw new ApiError('precondition_failed', { headers })
    if (status === 416) throw new ApiError('range_not_satisfiable', { headers })
    const send = body && (await reply.code(status).openFile(media.blobName!, admission))
    reply.code(status).headers(headers).header('content-disposition', disposition)
    if (status !== 304) reply.type(media.contentType!)
    if (body === undefined || send === undefined) return reply.send()
    if (body.start === 0) await countView(request, admission)
    return send(body)
  }

  /**
   * Counted before the first byte goes out, so that it is in the next answer of the figures; a stream never fails for
   * it.
   */
  async function countView (request: FastifyRequest, { media, link, accountId }: Admission): Promise<void> {
    const onlooker = { address: request.ip, accountId, userAgent: request.headers['user-agent'] }
    await views.countStream(media.id, link?.linkId ?? null, onlooker, (error) =>
      request.log.warn({ err: error }, 'a view was not counted')
    )
  }
}

/** The method and the headers that decide how a file is sent. */
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

/** What the headers of a file are made of, once for each time that its facts are read. */
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
