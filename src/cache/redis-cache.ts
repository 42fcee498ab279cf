import type { RedisLink } from '../redis/redis.js'
import type { AnswerCache } from './shared-cache.js'

/**
 * Answers that all processes share; while Redis does not answer, those of this process. Keys say all that an answer
 * depends on.
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
