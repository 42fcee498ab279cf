import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { KiB } from '../bytes.js'
import type { Config } from '../config/config.js'
import { MINUTE } from '../time.js'
import { rewriteUrl } from './rewrite-url.js'

const MAX_JSON_BYTES = 256 * KiB
/** A socket without traffic for this time is dead, or has a paused player that will send another range request. */
const IDLE_SOCKET_MS = 2 * MINUTE
const REQUEST_ID = /^[\w.:-]{1,128}$/

/** Returns the options of the HTTP server. */
export function serverOptions (config: Pick<Config, 'trustedProxies'>) {
  return {
    trustProxy: config.trustedProxies.length > 0 ? config.trustedProxies : false,
    rewriteUrl: (request: Pick<IncomingMessage, 'url'>) => rewriteUrl(request.url ?? '/'),
    genReqId: ({ headers }: Pick<IncomingMessage, 'headers'>) => {
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
