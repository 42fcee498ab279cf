import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { ApiError } from '../src/errors.js'
import { withoutPorts } from '../src/http/forwarded-for.js'

/** A Host header as browsers send it. Any other value is not used in a response. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

interface Options {
  config: Pick<Config, 'publicUrl' | 'trustedProxies'>
}

/** Adds to each request `origin`, the URL of this server, and `rawQuery`, from which a link is verified. */
export default fp<Options>(
  async (app, { config: { publicUrl, trustedProxies } }) => {
    app.addHook('onRequest', ({ raw }, reply, done) => {
      const hosts = countHosts(raw.rawHeaders)
      if (hosts === 1 || (hosts === 0 && raw.httpVersion === '1.0')) return done()
      reply.header('connection', 'close')
      done(new ApiError('bad_request', { detail: 'A request must have exactly one Host header.' }))
    })
    if (trustedProxies.length > 0) removeForwardedPorts(app)
    app.decorateRequest('origin', {
      getter (this: FastifyRequest) {
        return originOf(this, publicUrl)
      }
    })
    app.decorateRequest('rawQuery', {
      getter (this: FastifyRequest) {
        const start = this.url.indexOf('?')
        return start === -1 ? '' : this.url.slice(start + 1)
      }
    })
  },
  { name: 'origin' }
)

/**
 * Removes the ports from `X-Forwarded-For`. With ports, no proxy is trusted, and each connection counts as a separate
 * client.
 */
function removeForwardedPorts (app: FastifyInstance): void {
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    const forwarded = raw.headers['x-forwarded-for']
    if (typeof forwarded === 'string') raw.headers['x-forwarded-for'] = withoutPorts(forwarded)
    done()
  })
}

/**
 * Counts the Host headers (RFC 9112, section 3.2). By default, Node uses the first of several, and refuses a request
 * that has none with a bare 400.
 */
function countHosts (rawHeaders: string[]): number {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.length === 4 && rawHeaders[index]!.toLowerCase() === 'host') hosts++
  }
  return hosts
}

/** Returns the origin under which a request reached this server: `publicUrl`, or the origin in the request. */
export function originOf ({ protocol, host, socket }: FastifyRequest, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl
  const { localAddress = '', localPort } = socket
  const here = `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
  return `${protocol}://${HOST.test(host) ? host : here}`
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * PUBLIC_URL, or else the origin of the request, without a trailing slash. Only trusted proxies may forward an
     * origin.
     */
    readonly origin: string
    /** The query string as it was sent, without `?`. */
    readonly rawQuery: string
  }
}
