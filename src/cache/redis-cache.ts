import type { RedisLink } from '../redis/redis.js'
import type { AnswerCache } from './shared-cache.js'

/**
 * A cache of responses that all processes share through Redis. While Redis is down, it uses the cache of this process.
 * A key contains everything that its response depends on.
 */
export function createSharedCache (redis: RedisLink, local: AnswerCache): AnswerCache {
  return {
    get: async (key) => (await redis.ask((client) => client.get(`playgate:${key}`))) ?? (await local.get(key)),
    async set (key, answer, seconds) {
      await Promise.all([
        local.set(key, answer, seconds),
        redis.ask((client) => client.set(`playgate:${key}`, answer, 'EX', seconds))
      ])
    }
  }
}
