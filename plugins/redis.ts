import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { openRedis, type RedisLink } from '../src/redis/redis.js'

interface Options {
  config: Pick<Config, 'redisUrl'>
}

/**
 * Connects to Redis if REDIS_URL is set. The server also starts, runs and stops without its Redis. Playgate creates the
 * client: a client of @fastify/redis must be ready before the server starts (docs/decisions/0003-redis-client.md).
 */
export default fp<Options>(
  async (app, { config: { redisUrl } }) => {
    const link = redisUrl === undefined ? undefined : await openRedis(redisUrl, onChange)
    app.decorate('redisLink', link)
    app.addHook('onClose', async () => link?.close())
    if (link === undefined) return
    if (link.client.status === 'ready') {
      // Imported only with a Redis, because the plugin loads ioredis.
      await app.register((await import('@fastify/redis')).default, { client: link.client })
    } else {
      app.decorate('redis', link.client as typeof app.redis)
    }

    function onChange (isUp: boolean, cause: unknown): void {
      if (isUp) app.log.info('connected to Redis')
      else {
        app.log.warn(
          { reason: (cause as Error | undefined)?.message },
          'Redis is not available: this process keeps its own limits and cache; check REDIS_URL'
        )
      }
    }
  },
  { name: 'redis' }
)

declare module 'fastify' {
  interface FastifyInstance {
    /** The client behind its circuit breaker; undefined without REDIS_URL. */
    readonly redisLink: RedisLink | undefined
  }
}
