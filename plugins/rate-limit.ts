import rateLimit, { type FastifyRateLimitOptions } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { hashOfApiKey } from '../src/accounts/api-key-text.js'
import type { ApiKeys } from '../src/accounts/api-keys.js'
import { bearerOf } from '../src/http/bearer.js'
import { addressKey } from '../src/http/client-address.js'
import type { Config, LimitGroup } from '../src/config/config.js'
import { limitExceeded } from '../src/limits/limit-exceeded.js'
import { networkChecks } from '../src/limits/network-limits.js'
import type { Verdict, WindowRule } from '../src/limits/sliding-window.js'
import type { Windows } from '../src/limits/windows.js'
import { addProblems } from '../src/schemas/problem.js'
import { MINUTE, type Clock } from '../src/time.js'

interface Options {
  apiKeys: Pick<ApiKeys, 'limitName'>
  windows: Pick<Windows, 'clients'>
  config: Pick<Config, 'limitsPerMinute'>
  clock: Clock
}

/** A client is blocked if it sends this many times its limit in one window. */
const BLOCK_FACTOR = 5
/**
 * In these groups, the networks around an address are limited too. Otherwise the owner of a network could guess
 * passwords and occupy the hash workers without end. Views are not limited by network: a view costs little, and many
 * viewers may share one provider.
 */
const NETWORK_LIMITED = new Set(['login', 'signup'])

/**
 * Limits requests by client address, in groups. An accepted API key has windows of its own. A route sets its group by
 * `config: { limit }`; the default is `api`. `none` is for media bytes and for probes of the service. A limit of 0 is
 * off.
 */
export default fp<Options>(
  async (app, { windows: { clients: windows }, config, clock, apiKeys }) => {
    const { limitsPerMinute: perMinute } = config
    /** The store of one group, as @fastify/rate-limit requires it. */
    class Store {
      readonly #group: string
      constructor ({ group = 'api' }: FastifyRateLimitOptions) {
        this.#group = group
      }

      child (options: object): Store {
        return new Store(options)
      }

      incr (
        key: string,
        callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
        windowMs: number,
        limit: number
      ): void {
        this.#hit(key, { limit, windowMs, blockAfter: limit * BLOCK_FACTOR }).then((verdict) => {
          if (verdict.allowed) callback(null, { current: verdict.count, ttl: verdict.resetMs })
          else callback(null, { current: verdict.blocked ? Infinity : limit + 1, ttl: verdict.retryAfterMs })
        }, callback)
      }

      #hit (key: string, rule: WindowRule): Promise<Verdict> {
        const own = { key: `${this.#group}:${key}`, rule }
        if (!NETWORK_LIMITED.has(this.#group)) return windows.hit(own.key, rule)
        return windows.hitWithin(networkChecks(this.#group, key, rule), own)
      }
    }

    app.addHook('onRoute', (route) => {
      const group = route.config?.limit ?? 'api'
      if (group === 'none') {
        route.config = { ...route.config, rateLimit: false }
        return
      }
      const max = perMinute[group]
      route.config = { ...route.config, rateLimit: max === 0 ? false : { max, group } }
      route.schema = addProblems(route.schema, 'rate_limit_exceeded', 'client_blocked')
    })
    await app.register(rateLimit, {
      global: true,
      max: perMinute.api,
      timeWindow: MINUTE,
      // The store reports a block as an infinite count. `ban` makes the plugin report the block to
      // errorResponseBuilder.
      ban: 1,
      store: Store,
      keyGenerator: (request: FastifyRequest) => limitNameOfKey(request, apiKeys) ?? addressKey(request.ip),
      errorResponseBuilder: (_request, { ban, ttl, max }) =>
        limitExceeded({ blocked: ban, retryAfterMs: ttl }, { limit: max, windowMs: MINUTE }, clock.now())
    })
    app.setNotFoundHandler(perMinute.api === 0 ? {} : { preHandler: app.rateLimit() }, app.answerUnknownRoute)
  },
  { name: 'rate-limit', dependencies: ['errors'] }
)

/**
 * Returns the name under which a request with an API key is counted; undefined if it counts for its address. Views
 * count for their address, because their limit protects the figures.
 */
function limitNameOfKey (request: FastifyRequest, apiKeys: Options['apiKeys']): string | undefined {
  const { scope, limit } = request.routeOptions.config
  if (scope === undefined || limit === 'view') return undefined
  const keyHash = hashOfApiKey(bearerOf(request.headers.authorization) ?? '')
  return keyHash === undefined ? undefined : apiKeys.limitName(keyHash, request.ip)
}

declare module '@fastify/rate-limit' {
  interface FastifyRateLimitOptions {
    group?: LimitGroup
  }
  interface RateLimitOptions {
    group?: LimitGroup
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    limit?: LimitGroup | 'none'
  }
}
