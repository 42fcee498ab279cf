import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Admissions } from '../src/access/admissions.js'
import type { Access } from '../src/access/permissions.js'
import type { PlaybackLinks } from '../src/access/playback-links.js'
import type { Config } from '../src/config/config.js'
import { originalFile } from '../src/media/played-file.js'
import { attachmentDisposition } from '../src/playback/content-disposition.js'
import { isLinkQuery } from '../src/playback/link.js'
import { AnyIdParams, DateTime, IdParams, Uuid } from '../src/schemas/fields.js'
import { FILE_PROBLEMS, LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import { isoTime, SECOND, type Clock } from '../src/time.js'

interface Options {
  access: Access
  admissions: Admissions
  links: PlaybackLinks
  clock: Clock
  config: Pick<Config, 'streamTokenSeconds' | 'streamTokenMaxSeconds'>
}

const tags = ['Media'] as const
const binary = { schema: Type.String({ format: 'binary' }) }
const bytes = { 'video/*': binary, 'audio/*': binary }

const OriginalUrlReply = Type.Object({
  original_url: Type.String({
    examples: [
      'http://127.0.0.1:8000/media/019377a4-3f00-7000-8000-000000000000/original' +
        '?exp=1764000000&gen=1&kid=…&lid=…&sub=…&sig=…'
    ]
  }),
  expires_in: Type.Integer({ description: 'Seconds.' }),
  expires_at: DateTime(),
  media_id: Uuid()
})

const getOriginalUrl = (maxSeconds: number) =>
  ({
    config: { auth: 'account', scope: 'links' },
    schema: {
      operationId: 'getOriginalUrl',
      summary: 'Issue a link to the uploaded file that expires',
      description:
        'For the owner and administrators. The link opens only the uploaded file, whether its stream is a rendition ' +
        'or encrypted. `DELETE /media/{id}/stream-url` revokes it, too.',
      tags,
      params: IdParams,
      querystring: Type.Object({
        expires_in: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: maxSeconds,
            description: `Seconds, at most ${maxSeconds}.`,
            examples: [600]
          })
        )
      }),
      response: { 200: OriginalUrlReply, ...problemResponses('not_owner', 'not_found') }
    }
  }) as const

const original = {
  config: { auth: 'handler', scope: 'media:read', byLink: true, limit: 'none' },
  exposeHeadRoute: false,
  schema: {
    operationId: 'getOriginal',
    summary: 'Download the uploaded file by a link or a token',
    description:
      'Send the query string that `GET /media/{id}/original-url` returned, or the token of the owner or of an ' +
      'administrator. The bytes are those of the upload, with the `sha256` of the media. No view is counted.',
    tags,
    params: AnyIdParams,
    response: {
      200: { description: 'The whole file.', content: bytes },
      206: { description: 'One range of the file.', content: bytes },
      304: Type.Null({ description: 'Not modified.' }),
      ...problemResponses(
        ...LINK_PROBLEMS,
        'not_owner',
        'not_found',
        ...FILE_PROBLEMS
      )
    }
  }
} as const

const originalHead = {
  ...original,
  schema: { ...original.schema, operationId: 'headOriginal', summary: 'Get the headers of the uploaded file' }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { access, admissions, links, clock, config }) => {
  app.get('/media/:id/original-url', getOriginalUrl(config.streamTokenMaxSeconds), async (request) => {
    const viewer = request.requireViewer()
    const media = await access.changeable(viewer, request.params.id)
    const { expires_in: expiresInSeconds = config.streamTokenSeconds } = request.query
    const link = await links.mintOriginal(viewer, media, { expiresInSeconds, origin: request.origin })
    return {
      original_url: link.url,
      expires_in: link.expiresInSeconds,
      expires_at: isoTime(link.expiresAt),
      media_id: media.id
    }
  })

  app.get('/media/:id/original', original, async (request, reply) => await send(request, request.params.id, reply))
  app.head('/media/:id/original', originalHead, async (request, reply) => await send(request, request.params.id, reply))

  async function send (request: FastifyRequest, id: string, reply: FastifyReply): Promise<FastifyReply> {
    const admission = await admit(request, id, false)
    reply.stillAllowed = () => admit(request, id, true)
    const { media, link } = admission
    const secondsLeft = link === undefined ? 0 : Math.max(0, link.expiresAt - Math.floor(clock.now() / SECOND))
    reply.headers({
      'content-security-policy': "default-src 'none'; media-src 'self'",
      'cache-control': `private, max-age=${secondsLeft}`
    })
    // The admission refuses a media without a file.
    const file = originalFile(media)!
    const disposition = attachmentDisposition(media.title, file.contentType)
    return await reply.sendMediaFile({ file, disposition, admission })
  }

  /** `again`: during a transfer, the token may have expired; the expiry of a link ends the transfer. */
  async function admit (request: FastifyRequest, id: string, again: boolean): Promise<Admission> {
    if (isLinkQuery(request.rawQuery)) return await admissions.admitOriginalLink(id, request.rawQuery)
    if (again) return await admissions.admitViewer(await app.identifyAgain(request), id, admissions.requireOriginal)
    request.viewer = await app.identify(request)
    return await admissions.admitViewer(request.requireViewer(), id, admissions.requireOriginal)
  }
}

export default routes
