import { LRUCache } from 'lru-cache'
import type { Clock } from './time.js'

/** Below the second that CONTRACT §1 calls "at once", by what reading a fact may take. */
const FACT_LIFE_MS = 900

/** Facts by key, at most 0.9 s old; those that do not exist are remembered as undefined for as long. */
export interface FactsCache<T> {
  get (key: string): Promise<T | undefined>
  /** Forgets a fact that has just been changed here, so that this process sees the change at the next look. */
  forget (key: string): void
  /** Forgets all, where a change touches more facts than can be named. */
  forgetAll (): void
}

/** Keeps what `read` gives, one read at a time for each key, by a clock that nobody sets back. `max` bounds the number of facts kept. */
export function createFactsCache<T> (read: (key: string) => Promise<T | undefined>, monotonicNow: Clock, max = 10_000): FactsCache<T> {
  // The life counts from before the read: what changes while it is under way is seen a life after that at the latest.
  const cache = new LRUCache<string, { promise: Promise<T | undefined>, until: number }>({ max })
  return {
    get (key) {
      const now = monotonicNow()
      const known = cache.get(key)
      if (known !== undefined && known.until > now) return known.promise
      const promise = read(key)
      const entry = { promise, until: now + FACT_LIFE_MS }
      cache.set(key, entry)
      promise.catch(() => { if (cache.peek(key) === entry) cache.delete(key) })
      return promise
    },
    forget: (key) => { cache.delete(key) },
    forgetAll: () => { cache.clear() }
  }
}
