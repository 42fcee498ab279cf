import { LogController, type FastifyHttpOptions, type FastifyServerOptions } from 'fastify'
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { KiB } from '../bytes.js'
import type { Config } from '../config/config.js'
import { MINUTE } from '../time.js'
import { rewriteUrl } from './rewrite-url.js'

const MAX_JSON_BYTES = 256 * KiB
/** A socket on which nothing moved for so long is dead, or a paused player that will ask again by range. */
const IDLE_SOCKET_MS = 2 * MINUTE
const REQUEST_ID = /^[\w.:-]{1,128}$/

/** The options of the HTTP server. `logger` replaces the logger of the configuration. */
export function serverOptions (config: Config, logger: FastifyServerOptions['logger']): FastifyHttpOptions<Server> {
  return {
    // At `trace` the multipart parser logs the headers it is given, and with them the token.
    logger: logger ?? { level: config.logLevel, redact: { paths: ['busboyOptions.headers'], remove: true } },
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    trustProxy: config.trustedProxies.length > 0 ? config.trustedProxies : false,
    rewriteUrl: (request) => rewriteUrl(request.url ?? '/'),
    genReqId: ({ headers }) => {
      const sent = headers['x-request-id']
      return typeof sent === 'string' && REQUEST_ID.test(sent) ? sent : randomUUID()
    },
    bodyLimit: MAX_JSON_BYTES,
    connectionTimeout: IDLE_SOCKET_MS,
    http: { requireHostHeader: false },
    routerOptions: { maxParamLength: 1024 },
    return503OnClosing: false
  }
}
