import cors from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import type { UploadGrants } from '../src/grants/upload-grants.js'
import { TUS_HEADERS } from '../src/uploads/tus.js'
import grantCors from './grant-cors.js'

interface Options {
  config: Pick<Config, 'corsOrigins' | 'environment'>
  grants: UploadGrants
}

const LOCALHOST = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
const EXPOSED_HEADERS = ['location', 'retry-after', 'x-request-id', 'content-range', 'etag', ...TUS_HEADERS]
/** Players on any site may load these paths, because the token in the path authorizes the request. */
const OPEN_PATH = /^\/hls\//
const PREFLIGHT_SECONDS = 600

/**
 * Handles cross-origin requests (Fetch standard, section 3.3). A preflight accepts the same origins as the request that
 * follows it. An OPTIONS request that is not a preflight gets 405 with `Allow`, unless its path has such a route.
 */
export default fp<Options>(
  async (app, { config: { corsOrigins: origins, environment }, grants }) => {
    // A grant names its own origin, so its answer comes before the policy.
    await app.register(grantCors, { grants })
    app.addHook('onRequest', async (request, reply) => {
      if (request.method !== 'OPTIONS') return
      if (!isPreflight(request)) {
        return request.routeOptions.config.options === true ? undefined : app.answerUnknownRoute(request, reply)
      }
      if (OPEN_PATH.test(request.url)) return openPreflight(reply)
    })
    // Without CORS_ORIGINS, the pages of every localhost origin may call the API. In production, no other origin may.
    if (origins.length === 0 && environment === 'production') return
    const policy = {
      origin: origins.length > 0 ? origins : LOCALHOST,
      methods: METHODS,
      exposedHeaders: EXPOSED_HEADERS
    }
    await app.register(cors, {
      delegator: (request, done) => done(null, { ...policy, preflight: isPreflight(request) })
    })
  },
  { name: 'cors-policy', dependencies: ['errors'] }
)

function isPreflight ({ method, headers }: FastifyRequest): boolean {
  const { origin, 'access-control-request-method': asked } = headers
  return method === 'OPTIONS' && origin !== undefined && asked !== undefined
}

function openPreflight (reply: FastifyReply): FastifyReply {
  return reply
    .code(204)
    .headers({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-allow-headers': 'range, if-range, if-none-match, if-modified-since',
      'access-control-max-age': String(PREFLIGHT_SECONDS)
    })
    .send()
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A route for OPTIONS requests that are not preflights. */
    options?: true
  }
}
