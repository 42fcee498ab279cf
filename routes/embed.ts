import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { StreamGate } from '../src/access/playback-links.js'
import type { EmbedAsset } from '../src/embed/assets.js'
import { embedPage, embedPolicy } from '../src/embed/page.js'
import { DrmReply, drmReply } from '../src/protection/schema.js'
import { problemResponses } from '../src/schemas/problem.js'
import { Uuid } from '../src/schemas/fields.js'

/** `hosted`: media may be played by another provider. */
interface Options {
  assets: EmbedAsset[]
  embedOrigins: string[]
  gate: StreamGate
  hosted: boolean
}

const description = `For an \`<iframe>\`, on the origins that \`EMBED_ORIGINS\` names. Plays plain and encrypted media. A public one mints its own link; for another the page is opened with one, as \`/embed/{id}#src=<encodeURIComponent(stream_url)>\`.

Before a link expires the page posts \`{type: "playgate:link-needed", media_id}\` to its parent, and takes \`{type: "playgate:link", stream_url}\` from there. The page looks the same for every well-formed id, known or not; what is wrong it says in words, by what the API answers to it. A malformed id is 404.`

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { assets, embedOrigins, gate, hosted }) => {
  const policy = embedPolicy(embedOrigins, hosted)

  app.get(
    '/embed/:id',
    {
      schema: {
        operationId: 'embed',
        summary: 'A player for other pages',
        description,
        tags: ['Streaming'],
        security: [],
        params: Type.Object({ id: Uuid({ examples: ['019377a4-3f00-7000-8000-000000000000'] }) }),
        response: {
          200: { description: 'The page.', content: { 'text/html': { schema: Type.String() } } },
          ...problemResponses('not_found')
        }
      }
    },
    async (request, reply) => {
      reply.type('text/html; charset=utf-8').headers({ 'content-security-policy': policy, 'cache-control': 'no-cache' })
      return embedPage(request.params.id)
    }
  )

  app.get(
    '/embed/:id/playback',
    {
      schema: {
        operationId: 'getHostedPlayback',
        summary: 'What goes with an address of a media that another provider plays',
        description:
          "For the player's page: whether the token in an address of Mux is one that this server signed for this media, and where the licences come from if it is protected by DRM.",
        tags: ['Streaming'],
        security: [],
        params: Type.Object({ id: Type.String({ examples: ['019377a4-3f00-7000-8000-000000000000'] }) }),
        querystring: Type.Object({ token: Type.String({ description: 'As it stands in the address.' }) }),
        response: {
          200: Type.Object({ drm: Type.Optional(DrmReply) }),
          ...problemResponses('stream_link_invalid', 'stream_link_expired', 'validation_failed')
        }
      }
    },
    async ({ params, query }, reply) => {
      const licences = await gate.licencesFor(params.id, query.token)
      reply.header('cache-control', 'no-store')
      return licences === null ? {} : { drm: drmReply(licences) }
    }
  )

  for (const { name, type, etag, content } of assets) {
    app.get(`/embed/${name}`, { config: { limit: 'none' }, schema: { hide: true } }, (request, reply) => {
      reply.headers({ etag, 'cache-control': 'public, max-age=3600' })
      if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send()
      return reply.type(type).send(content)
    })
  }
}

export default routes
