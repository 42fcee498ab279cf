import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Access } from '../src/access/permissions.js'
import type { Admissions } from '../src/access/admissions.js'
import { MediaTypeSchema } from '../src/media/schema.js'
import { isLinkQuery } from '../src/playback/link.js'
import { DateTime, IdParams, Nullable, Uuid } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import { isoTime } from '../src/time.js'
import type { Views } from '../src/views/views.js'

interface Options {
  access: Access
  admissions: Admissions
  views: Views
}

const tags = ['Views and analytics'] as const
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
const AnalyticsQuery = Type.Object({
  days: Type.Integer({
    minimum: 1,
    maximum: 365,
    default: 30,
    description: 'The number of UTC days in `views_per_day`, today included.'
  })
})
const AnalyticsReply = Type.Object({
  media_id: Uuid(),
  title: Type.String(),
  media_filename: Type.String({ description: 'The title, under the name that older clients read.' }),
  type: MediaTypeSchema,
  upload_date: DateTime(),
  total_views: Type.Integer(),
  unique_ips: Type.Integer({ description: 'IP addresses; IPv6 addresses count by their /64.' }),
  unique_viewers: Type.Integer({ description: 'The same number as `unique_ips`.' }),
  recent_views_7days: Type.Integer({ description: 'Today and the six UTC days before.' }),
  views_per_day: Type.Record(Type.String(), Type.Integer(), {
    description: 'By UTC day, without the days that have no views.',
    examples: [{ '2026-11-20': 3 }]
  }),
  cached: Type.Boolean()
})

const logView = {
  config: { auth: 'handler', limit: 'view', byLink: true, scope: 'progress' },
  schema: {
    operationId: 'logView',
    summary: 'Count a view',
    description:
      'For anyone who may watch, or with the query string of a valid link. ' +
      'With a link, this is the same view as the one that the stream by that link counts. ' +
      'The view is durable before the response.',
    tags,
    params: Type.Object({ id: Type.String() }),
    body: Type.Optional(Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })])),
    response: { 200: ViewReply, ...problemResponses(...LINK_PROBLEMS, 'not_found', 'overloaded') }
  }
} as const

const listViews = {
  config: { auth: 'account', scope: 'analytics:read' },
  schema: {
    operationId: 'listViews',
    summary: 'List the views of a media, newest first',
    tags,
    params: IdParams,
    querystring: PageQuery,
    response: { 200: PageOf(LoggedView), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const getAnalytics = {
  config: { auth: 'account', scope: 'analytics:read' },
  schema: {
    operationId: 'getAnalytics',
    summary: 'Get the total, unique and daily views of a media',
    tags,
    params: IdParams,
    querystring: AnalyticsQuery,
    response: { 200: AnalyticsReply, ...problemResponses('not_owner', 'not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { access, admissions, views }) => {
  app.post('/media/:id/view', logView, async (request) => {
    const { id } = request.params
    const { media, link, accountId } = isLinkQuery(request.rawQuery)
      ? await admissions.admitLink(id, request.rawQuery)
      : await admissions.admitViewer(await app.identify(request), id)
    const source = { address: request.ip, accountId, userAgent: request.headers['user-agent'] }
    const { viewedAt } = await views.count(media.id, link?.linkId ?? null, source)
    return {
      message: 'View logged successfully',
      media_id: media.id,
      viewer_ip: request.ip,
      timestamp: isoTime(viewedAt)
    }
  })

  app.get('/media/:id/views', listViews, async (request) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    return mapPage(await views.log(media.id, request.query), (view) => ({
      viewed_by_ip: view.address,
      timestamp: isoTime(view.viewedAt),
      user_id: view.accountId,
      user_agent: view.userAgent
    }))
  })

  app.get('/media/:id/analytics', getAnalytics, async (request) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    const analytics = await views.analytics(media.id, request.query.days)
    return {
      media_id: media.id,
      title: media.title,
      media_filename: media.title,
      type: media.type,
      upload_date: isoTime(media.createdAt),
      total_views: analytics.totalViews,
      unique_ips: analytics.uniqueViewers,
      unique_viewers: analytics.uniqueViewers,
      recent_views_7days: analytics.recentViews,
      views_per_day: analytics.viewsPerDay,
      cached: analytics.cached
    }
  })
}

export default routes
