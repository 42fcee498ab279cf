import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../src/errors.js'
import type { UploadGrants } from '../src/grants/upload-grants.js'

interface Options {
  grants: UploadGrants
}

/** The path of an upload by a grant, with its token. */
const PATH = /^\/granted-uploads\/([^/?]+)/
const PREFLIGHT_SECONDS = 600

/**
 * Lets the pages of one origin upload by a grant. Requests from any other origin are refused, also without a preflight.
 * For a grant without an origin, the policy of the API applies (plugins/cors-policy.ts).
 */
export default fp<Options>(
  async (app, { grants }) => {
    app.addHook('onRequest', async (request, reply) => {
      const { origin, 'access-control-request-method': method } = request.headers
      const token = PATH.exec(request.url)?.[1]
      if (token === undefined || origin === undefined) return
      const allowed = await grants.originOf(token)
      if (allowed === null) return
      reply.header('vary', 'Origin')
      if (origin !== allowed) throw new ApiError('upload_grant_origin')
      reply.header('access-control-allow-origin', origin)
      if (request.method === 'OPTIONS' && method !== undefined) return preflight(reply)
      reply.header('access-control-expose-headers', 'retry-after, x-request-id')
    })
  },
  { name: 'grant-cors', dependencies: ['errors'] }
)

function preflight (reply: FastifyReply): FastifyReply {
  return reply
    .code(204)
    .headers({
      'access-control-allow-methods': 'PUT',
      'access-control-allow-headers': 'content-type, repr-digest',
      'access-control-max-age': String(PREFLIGHT_SECONDS)
    })
    .send()
}
