import { LRUCache } from 'lru-cache'
import { MINUTE, type Clock } from '../time.js'

/** What to hold a key to: `limit` requests in any `windowMs`. */
export interface WindowRule {
  limit: number
  windowMs: number
  /** Past this many tries in one window, refused ones included, the key is blocked for {@link BLOCK_MS}. 0: never. */
  blockAfter: number
}

export interface Verdict {
  allowed: boolean
  blocked: boolean
  /** Requests in the window, this one included if it was allowed. */
  count: number
  /** Milliseconds until one more request has room again (0 now), or until the block ends. */
  retryAfterMs: number
  /** Milliseconds until the oldest request leaves the window. */
  resetMs: number
}

/**
 * Exact sliding windows (a log of the moments of allowed requests). A refused request does not enter the window. A
 * request leaves it exactly `windowMs` after it was made.
 */
export interface SlidingWindow {
  hit(key: string, rule: WindowRule): Promise<Verdict>
  /** Takes back the newest allowed request of a key. */
  undo(key: string): Promise<void>
}

/** A client that goes on past its limit is blocked for 15 minutes. */
export const BLOCK_MS = 15 * MINUTE
/** A key holds at most its limit in moments: with 300 of 8 bytes, 50 MB when every client is at its limit. */
const MAX_KEYS = 20_000

interface Entry {
  /** Moments of allowed requests, oldest first. */
  moments: number[]
  /** Refused tries since `refusedSince`. */
  refused: number
  refusedSince: number
  blockedUntil: number
}

/** Sliding windows of this process alone. The longest unused keys are forgotten past {@link MAX_KEYS}. */
export class LocalSlidingWindow implements SlidingWindow {
  readonly #now: Clock
  readonly #entries: LRUCache<string, Entry>

  /** `now` is monotonic: a clock that is set back would refuse clients until it is where it was. */
  constructor (now: Clock, maxKeys = MAX_KEYS) {
    this.#now = now
    this.#entries = new LRUCache({ max: maxKeys })
  }

  async hit (key: string, rule: WindowRule): Promise<Verdict> {
    return this.hitNow(key, rule)
  }

  /** {@link hit} without a promise. */
  hitNow (key: string, { limit, windowMs, blockAfter }: WindowRule): Verdict {
    const now = this.#now()
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      this.#entries.set(key, (entry = { moments: [], refused: 0, refusedSince: now, blockedUntil: 0 }))
    }
    if (entry.blockedUntil > now) return verdict(entry, now, windowMs, limit, false)
    let left = 0
    while (left < entry.moments.length && entry.moments[left]! <= now - windowMs) left++
    if (left > 0) entry.moments.splice(0, left)
    if (entry.moments.length < limit) {
      entry.moments.push(now)
      return verdict(entry, now, windowMs, limit, true)
    }
    if (blockAfter === 0) return verdict(entry, now, windowMs, limit, false)
    if (entry.refusedSince <= now - windowMs) {
      entry.refused = 0
      entry.refusedSince = now
    }
    entry.refused++
    if (limit + entry.refused > blockAfter) {
      entry.blockedUntil = now + BLOCK_MS
      entry.refused = 0
    }
    return verdict(entry, now, windowMs, limit, false)
  }

  async undo (key: string): Promise<void> {
    this.#entries.get(key)?.moments.pop()
  }

  /** Keys held. */
  get size (): number {
    return this.#entries.size
  }
}

function verdict (entry: Entry, now: number, windowMs: number, limit: number, allowed: boolean): Verdict {
  const blocked = entry.blockedUntil > now
  const resetMs = entry.moments.length > 0 ? entry.moments[0]! + windowMs - now : 0
  const retryAfterMs = blocked ? entry.blockedUntil - now : entry.moments.length < limit ? 0 : resetMs
  return { allowed, blocked, count: entry.moments.length, retryAfterMs, resetMs }
}
