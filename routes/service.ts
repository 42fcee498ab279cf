import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { ApiError, problems, type ProblemCode } from '../src/errors.js'
import { StringEnum } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'
import type { Health } from '../src/monitoring/health.js'

interface Options {
  health: Health
  version: string
}

const tags = ['Service']
const State = StringEnum(['up', 'down', 'off'])
const HealthReply = Type.Object({
  status: StringEnum(['ok', 'degraded', 'down']),
  database: State,
  redis: State,
  storage: State
})
const open = { config: { limit: 'none' as const } }

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { health, version }) => {
  app.get(
    '/',
    {
      schema: {
        operationId: 'getService',
        summary: 'What this is',
        tags,
        security: [],
        response: {
          200: Type.Object({
            message: Type.String(),
            service: Type.String(),
            version: Type.String(),
            status: Type.String(),
            docs: Type.String()
          }),
          ...problemResponses('rate_limit_exceeded')
        }
      }
    },
    async () => ({
      message: 'Media Platform Backend API',
      service: 'playgate',
      version,
      status: 'running',
      docs: '/docs'
    })
  )

  app.get(
    '/health',
    {
      ...open,
      schema: {
        operationId: 'getHealth',
        summary: 'Whether the parts it needs are there',
        description: '503 only when the database or the storage is down: without Redis the server goes on.',
        tags,
        security: [],
        response: { 200: HealthReply, 503: HealthReply, ...problemResponses('bad_request') }
      }
    },
    async (_request, reply) => {
      const state = await health.check()
      return reply
        .code(state.status === 'down' ? 503 : 200)
        .header('cache-control', 'no-store')
        .send(state)
    }
  )

  app.get(
    '/livez',
    {
      ...open,
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process answers',
        tags,
        security: [],
        response: { 200: Type.Object({ status: Type.String() }), ...problemResponses('bad_request') }
      }
    },
    async () => ({ status: 'ok' })
  )

  app.get(
    '/readyz',
    {
      ...open,
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether it should be sent requests',
        tags,
        security: [],
        response: {
          200: Type.Object({ status: Type.String() }),
          ...problemResponses('bad_request', 'starting', 'shutting_down', 'database_unavailable', 'storage_unavailable')
        }
      }
    },
    async () => {
      if (health.stopping) throw new ApiError('shutting_down')
      if (health.starting) throw new ApiError('starting', { headers: { 'retry-after': '1' } })
      const { status, database } = await health.check()
      if (status === 'down') throw new ApiError(database === 'down' ? 'database_unavailable' : 'storage_unavailable')
      return { status: 'ready' }
    }
  )

  app.get(
    '/problems/:code',
    {
      schema: {
        operationId: 'explainProblem',
        summary: 'What an error code means',
        tags,
        security: [],
        params: Type.Object({ code: Type.String({ examples: ['stream_link_expired'] }) }),
        response: {
          200: { description: 'A page.', content: { 'text/html': { schema: Type.String() } } },
          ...problemResponses('route_not_found')
        }
      }
    },
    async (request, reply) => {
      const { code } = request.params
      if (!Object.hasOwn(problems, code)) throw new ApiError('route_not_found')
      const [status, title, detail] = problems[code as ProblemCode]
      return reply
        .type('text/html; charset=utf-8')
        .send(
          `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><p>${detail}</p><p>HTTP status ${status}, code <code>${code}</code>.</p></html>\n`
        )
    }
  )
}

export default routes
