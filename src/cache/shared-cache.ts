import { LRUCache } from 'lru-cache'

/** A cache of responses. A key contains everything that its response depends on, so no entry is outdated. */
export interface AnswerCache {
  get(key: string): Promise<string | undefined>
  set(key: string, answer: string, seconds: number): Promise<void>
}

/** The cache of one process. A response has 1 or 2 kB; analytics of 365 days have 10 kB. */
export function createLocalCache (max = 2000): AnswerCache {
  const answers = new LRUCache<string, string>({ max })
  return {
    get: async (key) => answers.get(key),
    set: async (key, answer, seconds) => {
      answers.set(key, answer, { ttl: seconds * 1000 })
    }
  }
}
