import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Access } from '../src/access/permissions.js'
import type { StreamGate } from '../src/access/playback-links.js'
import { MediaTypeSchema } from '../src/media/schema.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { isLinkQuery } from '../src/playback/link.js'
import { problemResponses } from '../src/schemas/problem.js'
import { DateTime, Nullable, Uuid } from '../src/schemas/fields.js'
import { isoTime } from '../src/time.js'
import type { Views } from '../src/views/views.js'

interface Options {
  access: Access
  gate: StreamGate
  views: Views
}

const tags = ['Views and analytics']
const Params = Type.Object({ id: Uuid() })
const ViewReply = Type.Object({
  message: Type.String({ examples: ['View logged successfully'] }),
  media_id: Uuid(),
  viewer_ip: Type.String({ examples: ['203.0.113.7'] }),
  timestamp: DateTime()
})
const LoggedView = Type.Object({
  viewed_by_ip: Type.String(),
  timestamp: DateTime(),
  user_id: Nullable(Uuid()),
  user_agent: Nullable(Type.String())
})
const AnalyticsReply = Type.Object({
  media_id: Uuid(),
  title: Type.String(),
  media_filename: Type.String({ description: 'The title, under the name that older clients read.' }),
  type: MediaTypeSchema,
  upload_date: DateTime(),
  total_views: Type.Integer(),
  unique_ips: Type.Integer({ description: 'Addresses; an IPv6 address counts by its /64.' }),
  unique_viewers: Type.Integer({ description: 'The same number.' }),
  recent_views_7days: Type.Integer({ description: 'Today and the six UTC days before.' }),
  views_per_day: Type.Record(Type.String(), Type.Integer(), {
    description: 'By UTC day; days without views are left out.',
    examples: [{ '2026-11-20': 3 }]
  }),
  cached: Type.Boolean()
})

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { access, gate, views }) => {
  app.post(
    '/media/:id/view',
    {
      config: { limit: 'view', byLink: true },
      schema: {
        operationId: 'logView',
        summary: 'Count a view',
        description:
          'For anyone who may watch, or with the query string of a valid link: then it is the same view that the stream by that link counts. Durable when it is answered.',
        tags,
        security: [{}, { bearer: [] }, { login: [] }],
        params: Type.Object({ id: Type.String() }),
        body: Type.Optional(Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })])),
        response: {
          200: ViewReply,
          ...problemResponses(
            'not_authenticated',
            'invalid_token',
            'stream_link_invalid',
            'stream_link_expired',
            'stream_link_revoked',
            'not_found',
            'validation_failed',
            'overloaded'
          )
        }
      }
    },
    async (request) => {
      const { id } = request.params
      const { media, link, accountId } = isLinkQuery(request.rawQuery)
        ? await gate.admitLink(id, request.rawQuery)
        : await gate.admitViewer(await app.identify(request), id)
      const { viewedAt } = await views.count(media.id, link?.linkId ?? null, {
        address: request.ip,
        accountId,
        userAgent: request.headers['user-agent']
      })
      return {
        message: 'View logged successfully',
        media_id: media.id,
        viewer_ip: request.ip,
        timestamp: isoTime(viewedAt)
      }
    }
  )

  await app.register(async (signedIn: typeof app) => {
    signedIn.addHook('preParsing', app.requireAccount)

    signedIn.get(
      '/media/:id/views',
      {
        schema: {
          operationId: 'listViews',
          summary: 'Who watched, when, from where',
          tags,
          params: Params,
          querystring: PageQuery,
          response: {
            200: PageOf(LoggedView),
            ...problemResponses('not_authenticated', 'invalid_token', 'not_owner', 'not_found', 'validation_failed')
          }
        }
      },
      async (request) => {
        const media = await access.changeable(request.signedIn(), request.params.id)
        return mapPage(await views.log(media.id, request.query), (view) => ({
          viewed_by_ip: view.address,
          timestamp: isoTime(view.viewedAt),
          user_id: view.accountId,
          user_agent: view.userAgent
        }))
      }
    )

    signedIn.get(
      '/media/:id/analytics',
      {
        schema: {
          operationId: 'getAnalytics',
          summary: 'Views of a media: total, unique, per day',
          tags,
          params: Params,
          querystring: Type.Object({
            days: Type.Integer({
              minimum: 1,
              maximum: 365,
              default: 30,
              description: 'How many UTC days `views_per_day` reaches back, today included.'
            })
          }),
          response: {
            200: AnalyticsReply,
            ...problemResponses('not_authenticated', 'invalid_token', 'not_owner', 'not_found', 'validation_failed')
          }
        }
      },
      async (request) => {
        const media = await access.changeable(request.signedIn(), request.params.id)
        const { totalViews, uniqueViewers, recentViews, viewsPerDay, cached } = await views.analytics(
          media.id,
          request.query.days
        )
        return {
          media_id: media.id,
          title: media.title,
          media_filename: media.title,
          type: media.type,
          upload_date: isoTime(media.createdAt),
          total_views: totalViews,
          unique_ips: uniqueViewers,
          unique_viewers: uniqueViewers,
          recent_views_7days: recentViews,
          views_per_day: viewsPerDay,
          cached
        }
      }
    )
  })
}

export default routes
