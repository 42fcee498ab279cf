import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { PlaybackLinks } from '../src/access/playback-links.js'
import type { Config } from '../src/config/config.js'
import { embedPage, embedPolicy } from '../src/embed/page.js'
import { DrmReply, drmReply } from '../src/protection/schema.js'
import { AnyIdParams, Uuid } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  config: Pick<Config, 'embedOrigins'>
  links: PlaybackLinks
  providers: { mux: object | undefined }
}

const tags = ['Streaming'] as const

/** The files that the page loads: web/embed/, hls.js and Shaka Player. */
const FILES = [
  'player.js',
  'api.js',
  'cover.js',
  'engine.js',
  'links.js',
  'tracks.js',
  'words.js',
  'player.css',
  'hls.light.min.js',
  'shaka-player.hls-es2021.js'
]

const embed = {
  schema: {
    operationId: 'embed',
    summary: 'Get a player page for an `<iframe>`',
    description:
      'For pages on the origins in `EMBED_ORIGINS`. The player plays plain and encrypted media. ' +
      'A public media needs no link. Open the page of another media with a link, as ' +
      '`/embed/{id}#src=<encodeURIComponent(stream_url)>`.\n\n' +
      'Before a link expires, the player posts `{type: "playgate:link-needed", media_id}` to its parent, and accepts ' +
      '`{type: "playgate:link", stream_url}` from it. The page is the same for every well-formed id, known or not, ' +
      'and shows the errors of the API as text. A malformed id is 404.',
    tags,
    params: Type.Object({ id: Uuid({ examples: ['019377a4-3f00-7000-8000-000000000000'] }) }),
    response: {
      200: { description: 'The page.', content: { 'text/html': { schema: Type.String() } } },
      ...problemResponses('not_found')
    }
  }
} as const

const getHostedPlayback = {
  schema: {
    operationId: 'getHostedPlayback',
    summary: 'Check the token in a Mux URL and get its DRM licences',
    description:
      'For the player page. A token that this server did not sign for this media is refused. ' +
      'The response has the URLs of the licences if the media is protected by DRM.',
    tags,
    params: AnyIdParams,
    querystring: Type.Object({ token: Type.String({ description: 'The `token` parameter of the Mux URL.' }) }),
    response: {
      200: Type.Object({ drm: Type.Optional(DrmReply) }),
      ...problemResponses('stream_link_invalid', 'stream_link_expired')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { config, links, providers }) => {
  const policy = embedPolicy(config.embedOrigins, providers.mux !== undefined)

  app.get('/embed/:id', embed, async (request, reply) => {
    reply.type('text/html; charset=utf-8').headers({ 'content-security-policy': policy, 'cache-control': 'no-cache' })
    return embedPage(request.params.id)
  })

  app.get('/embed/:id/playback', getHostedPlayback, async ({ params, query }, reply) => {
    const licences = await links.licencesFor(params.id, query.token)
    reply.header('cache-control', 'no-store')
    return licences === null ? {} : { drm: drmReply(licences) }
  })

  for (const name of FILES) {
    app.get(`/embed/${name}`, { config: { limit: 'none' }, schema: { hide: true } }, (_request, reply) => {
      reply.sendFile(`embed/${name}`)
    })
  }
}

export default routes
