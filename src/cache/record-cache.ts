import { LRUCache } from 'lru-cache'
import { MiB } from '../bytes.js'
import { ApiError } from '../errors.js'
import type { Clock } from '../time.js'

/** Below the second within which every process sees a change, by what reading a fact may take. */
const FACT_LIFE_MS = 900
/** What one cache takes of memory at most: 10,000 to 40,000 facts. */
const MAX_CACHED_BYTES = 16 * MiB
/** An entry around its fact: the key, a promise, and its place in the cache. */
const ENTRY_BYTES = 400

/** Counts reads and checks of this process: a read after a check has a higher number. No clock is as fine as that. */
let moments = 0
/** As `since`: any record that has not expired. */
export const ANY_AGE = 0

/**
 * Runs a check on cached records. One that refuses runs again, on records that are read after the first began: `check`
 * hands `since` to every cache that it asks. **Throws** what the second run throws.
 */
export async function confirmRefusal<T> (check: (since: number) => Promise<T>): Promise<T> {
  const begun = ++moments
  try {
    return await check(ANY_AGE)
  } catch (error) {
    if (!(error instanceof ApiError) || error.statusCode >= 500) throw error
    return await check(begun)
  }
}

/** Runs a check on records that are read after this call. */
export async function withFreshRecords<T> (check: (since: number) => Promise<T>): Promise<T> {
  return await check(++moments)
}

/** Facts by key, at most 0.9 s old; those that do not exist are remembered as undefined for as long. */
export interface FactsCache<T> {
  /** A fact; with `since` one that was read after that moment, see {@link confirmRefusal}. */
  get(key: string, since?: number): Promise<T | undefined>
  /** Forgets a fact that has just been changed here, so that this process sees the change at the next look. */
  forget(key: string): void
  /** Forgets all, where a change touches more facts than can be named. */
  forgetAll(): void
}

/** One read of a fact. */
interface Read<T> {
  promise: Promise<T | undefined>
  until: number
  /** The moment at which it began. */
  begun: number
  ended: boolean
  /** The read after this one, for all who need a newer fact while this one is under way. */
  next: Promise<T | undefined> | undefined
}

/**
 * Keeps what `read` returns, by a monotonic clock, in at most `maxBytes`. For each key one read is under way and one
 * waits, however many ask for a newer fact: a flood of refused requests costs one query at a time.
 */
export function createFactsCache<T> (
  read: (key: string) => Promise<T | undefined>,
  clock: Clock,
  maxBytes = MAX_CACHED_BYTES
): FactsCache<T> {
  const cache = new LRUCache<string, { read: Read<T> }>({ maxSize: maxBytes })

  function get (key: string, since = ANY_AGE): Promise<T | undefined> {
    const known = cache.get(key)?.read
    if (known === undefined) return begin(key)
    if (known.begun > since && known.until > clock.monotonicNow()) return known.promise
    if (known.ended || since === ANY_AGE) return begin(key)
    known.next ??= known.promise
      .then(
        () => {},
        () => {}
      )
      .then(() => get(key, known.begun))
    return known.next
  }

  function begin (key: string): Promise<T | undefined> {
    // The life counts from before the read: a change during the read is seen a life later at the latest.
    const until = clock.monotonicNow() + FACT_LIFE_MS
    const one: Read<T> = { begun: ++moments, promise: read(key), until, ended: false, next: undefined }
    cache.set(key, { read: one }, { size: ENTRY_BYTES })
    const isKept = () => cache.peek(key)?.read === one
    one.promise.then(
      (fact) => {
        one.ended = true
        // Another entry: the cache does not measure one again that it has already.
        if (isKept()) cache.set(key, { read: one }, { size: ENTRY_BYTES + sizeOf(fact) })
      },
      () => {
        one.ended = true
        if (isKept()) cache.delete(key)
      }
    )
    return one.promise
  }

  return {
    get,
    forget: (key) => {
      cache.delete(key)
    },
    forgetAll: () => {
      cache.clear()
    }
  }
}

/** About what a fact takes of memory: two bytes for each character of its JSON. */
function sizeOf (fact: unknown): number {
  return fact === undefined ? 0 : 2 * JSON.stringify(fact).length
}
