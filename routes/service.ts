import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { ApiError, databaseDamaged } from '../src/errors.js'
import { problems, type ProblemCode } from '../src/schemas/problem-codes.js'
import type { Health } from '../src/monitoring/health.js'
import { StringEnum } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'
import { VERSION } from '../src/version.js'

interface Options {
  health: Health
}

const tags = ['Service'] as const
const unlimited = { limit: 'none' } as const
const PartState = StringEnum(['up', 'down', 'off'])
const HealthReply = Type.Object({
  status: StringEnum(['ok', 'degraded', 'down']),
  database: PartState,
  redis: PartState,
  storage: PartState
})
const StatusReply = Type.Object({ status: Type.String() })

const getService = {
  schema: {
    operationId: 'getService',
    summary: 'Get the name, version and status of the service',
    tags,
    response: {
      200: Type.Object({
        message: Type.String(),
        service: Type.String(),
        version: Type.String(),
        status: Type.String(),
        docs: Type.String()
      })
    }
  }
} as const

const getHealth = {
  config: unlimited,
  schema: {
    operationId: 'getHealth',
    summary: 'Check the database, Redis and the storage',
    description: '503 if the database or the storage is down. Without Redis the server continues.',
    tags,
    response: {
      200: HealthReply,
      503: {
        description: 'The database or the storage is down.',
        content: { 'application/json': { schema: HealthReply } }
      }
    }
  }
} as const

const getLiveness = {
  config: unlimited,
  schema: {
    operationId: 'getLiveness',
    summary: 'Check that the process responds',
    tags,
    response: { 200: StatusReply }
  }
} as const

const getReadiness = {
  config: unlimited,
  schema: {
    operationId: 'getReadiness',
    summary: 'Check that the server accepts requests',
    tags,
    response: {
      200: StatusReply,
      ...problemResponses(
        'starting',
        'shutting_down',
        'database_unavailable',
        'storage_unavailable',
        'secret_key_missing'
      )
    }
  }
} as const

const explainProblem = {
  schema: {
    operationId: 'explainProblem',
    summary: 'Get the explanation of an error code',
    tags,
    params: Type.Object({ code: Type.String({ examples: ['stream_link_expired'] }) }),
    response: {
      200: { description: 'A page.', content: { 'text/html': { schema: Type.String() } } },
      ...problemResponses('route_not_found')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { health }) => {
  app.get('/', getService, async () => ({
    message: 'Media Platform Backend API',
    service: 'playgate',
    version: VERSION,
    status: 'running',
    docs: '/docs'
  }))

  app.get('/health', getHealth, async (_request, reply) => {
    const state = await health.check()
    return reply
      .code(state.status === 'down' ? 503 : 200)
      .header('cache-control', 'no-store')
      .send(state)
  })

  app.get('/livez', getLiveness, async () => ({ status: 'ok' }))

  app.get('/readyz', getReadiness, async () => {
    if (health.stopping) throw new ApiError('shutting_down')
    if (health.starting) throw new ApiError('starting', { headers: { 'retry-after': '1' } })
    if (health.isDamaged) throw databaseDamaged()
    if (health.lacksKeys) throw new ApiError('secret_key_missing', { headers: { 'retry-after': '10' } })
    const { status, database } = await health.check()
    if (status === 'down') throw new ApiError(database === 'down' ? 'database_unavailable' : 'storage_unavailable')
    return { status: 'ready' }
  })

  app.get('/problems/:code', explainProblem, async ({ params: { code } }, reply) => {
    if (!Object.hasOwn(problems, code)) throw new ApiError('route_not_found')
    return reply.type('text/html; charset=utf-8').send(problemPage(code as ProblemCode))
  })
}

function problemPage (code: ProblemCode): string {
  const { status, title, detail } = problems[code]
  return (
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>` +
    `<h1>${title}</h1><p>${detail}</p><p>HTTP status ${status}, code <code>${code}</code>.</p></html>\n`
  )
}

export default routes
