import { LRUCache } from 'lru-cache'
import type { Clock } from './time.js'

/** Below the second that CONTRACT §1 calls "at once", by what reading a fact may take. */
const FACT_LIFE_MS = 900
/** What one cache takes of memory at most: 10,000 to 40,000 facts. */
const MAX_CACHED_BYTES = 16 * 1024 * 1024
/** An entry around its fact: the key, a promise, and its place in the cache. */
const ENTRY_BYTES = 400

/** Facts by key, at most 0.9 s old; those that do not exist are remembered as undefined for as long. */
export interface FactsCache<T> {
  get (key: string): Promise<T | undefined>
  /** Forgets a fact that has just been changed here, so that this process sees the change at the next look. */
  forget (key: string): void
  /** Forgets all, where a change touches more facts than can be named. */
  forgetAll (): void
}

/** Keeps what `read` returns, one read at a time for each key, by a monotonic clock, in at most `maxBytes`. */
export function createFactsCache<T> (
  read: (key: string) => Promise<T | undefined>,
  monotonicNow: Clock,
  maxBytes = MAX_CACHED_BYTES
): FactsCache<T> {
  // The life counts from before the read: what changes while it is under way is seen a life after that at the latest.
  const cache = new LRUCache<string, { promise: Promise<T | undefined>, until: number }>({ maxSize: maxBytes })
  return {
    get (key) {
      const now = monotonicNow()
      const known = cache.get(key)
      if (known !== undefined && known.until > now) return known.promise
      const promise = read(key)
      const entry = { promise, until: now + FACT_LIFE_MS }
      cache.set(key, entry, { size: ENTRY_BYTES })
      const isKept = () => cache.peek(key) === entry
      promise.then(
        // A copy: the cache does not measure an entry again that it has already.
        (fact) => { if (isKept()) cache.set(key, { ...entry }, { size: ENTRY_BYTES + sizeOf(fact) }) },
        () => { if (isKept()) cache.delete(key) }
      )
      return promise
    },
    forget: (key) => { cache.delete(key) },
    forgetAll: () => { cache.clear() }
  }
}

/** About what a fact takes of memory: two bytes for each character of its JSON. */
function sizeOf (fact: unknown): number {
  return fact === undefined ? 0 : 2 * JSON.stringify(fact).length
}
