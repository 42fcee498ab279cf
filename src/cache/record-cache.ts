import { LRUCache } from 'lru-cache'
import { MiB } from '../bytes.js'
import { ApiError } from '../errors.js'
import type { Clock } from '../time.js'

/** Other processes must see a change within one second. This TTL leaves 100 ms for the read. */
const RECORD_LIFE_MS = 900
/** Maximum memory of one cache: 10,000 to 40,000 records. */
const MAX_CACHED_BYTES = 16 * MiB
/** An entry without its record: the key, a promise, and its place in the cache. */
const ENTRY_BYTES = 400

/**
 * Numbers the reads and checks of this process: a read after a check has a higher number. Clocks are not precise
 * enough.
 */
let sequence = 0
/** As `since`, accepts any record that has not expired. */
export const ANY_AGE = 0

/**
 * Runs a check on cached records. If it refuses, runs it again on records that are read after the first run began.
 * `check` passes `since` to every cache that it reads. **Throws** the error of the second run.
 */
export async function confirmRefusal<T> (check: (since: number) => Promise<T>): Promise<T> {
  const begun = ++sequence
  try {
    return await check(ANY_AGE)
  } catch (error) {
    if (!(error instanceof ApiError) || error.statusCode >= 500) throw error
    return await check(begun)
  }
}

/** Runs a check on records that are read after this call. */
export async function withFreshRecords<T> (check: (since: number) => Promise<T>): Promise<T> {
  return await check(++sequence)
}

/** One read of a record. */
interface Read<T> {
  promise: Promise<T | undefined>
  /** The expiry time of the record, in milliseconds on the monotonic clock. */
  until: number
  /** The sequence number at which the read began. */
  begun: number
  ended: boolean
  /** The next read, shared by all callers who need a newer record while this read is pending. */
  next: Promise<T | undefined> | undefined
}

/**
 * Caches the result of `read` for 0.9 seconds, in at most `maxBytes`. Missing records are cached too. Each key has at
 * most one pending and one queued read, so a flood of refused requests causes one query at a time.
 */
export class RecordCache<T> {
  readonly #read: (key: string) => Promise<T | undefined>
  readonly #clock: Clock
  readonly #cache: LRUCache<string, { read: Read<T> }>

  constructor (read: (key: string) => Promise<T | undefined>, clock: Clock, maxBytes = MAX_CACHED_BYTES) {
    this.#read = read
    this.#clock = clock
    this.#cache = new LRUCache({ maxSize: maxBytes })
  }

  /** Returns a record. With `since`, returns a record that was read after that number; see {@link confirmRefusal}. */
  get (key: string, since = ANY_AGE): Promise<T | undefined> {
    const known = this.#cache.get(key)?.read
    if (known === undefined) return this.#begin(key)
    if (known.begun > since && known.until > this.#clock.monotonicNow()) return known.promise
    if (known.ended || since === ANY_AGE) return this.#begin(key)
    known.next ??= known.promise
      .then(
        () => {},
        () => {}
      )
      .then(() => this.get(key, known.begun))
    return known.next
  }

  /** Removes a record that this process just changed. The next {@link get} reads it again. */
  invalidate (key: string): void {
    this.#cache.delete(key)
  }

  /** Removes all records, after a change to an unknown number of them. */
  invalidateAll (): void {
    this.#cache.clear()
  }

  #begin (key: string): Promise<T | undefined> {
    const cache = this.#cache
    // The TTL starts before the read, so a change during the read is visible at most one TTL later.
    const until = this.#clock.monotonicNow() + RECORD_LIFE_MS
    const one: Read<T> = { begun: ++sequence, promise: this.#read(key), until, ended: false, next: undefined }
    cache.set(key, { read: one }, { size: ENTRY_BYTES })
    const isKept = () => cache.peek(key)?.read === one
    one.promise.then(
      (record) => {
        one.ended = true
        // A new entry object is needed: the cache ignores the new size of a value that it already contains.
        if (isKept()) cache.set(key, { read: one }, { size: ENTRY_BYTES + sizeOf(record) })
      },
      () => {
        one.ended = true
        if (isKept()) cache.delete(key)
      }
    )
    return one.promise
  }
}

/** Returns the estimated memory of a record: two bytes for each character of its JSON. */
function sizeOf (record: unknown): number {
  return record === undefined ? 0 : 2 * JSON.stringify(record).length
}
