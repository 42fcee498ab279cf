import { LRUCache } from 'lru-cache'

/** Answers by key, for a while. A key says all that its answer depends on, so nothing stale can be under it. */
export interface AnswerCache {
  get(key: string): Promise<string | undefined>
  set(key: string, answer: string, seconds: number): Promise<void>
}

/** Of one process. An answer is a kilobyte or two; 365 days of figures are ten. */
export function createLocalCache (max = 2000): AnswerCache {
  const answers = new LRUCache<string, string>({ max })
  return {
    get: async (key) => answers.get(key),
    set: async (key, answer, seconds) => {
      answers.set(key, answer, { ttl: seconds * 1000 })
    }
  }
}
