import { MINUTE, type Clock } from '../time.js'
import { WindowEntries, type Rank, type WindowEntry } from './window-entries.js'

/** The limit of a key: `limit` requests in any period of `windowMs`. */
export interface WindowRule {
  limit: number
  windowMs: number
  /**
   * After more requests than this in one window, including refused requests, the key is blocked for {@link BLOCK_MS}. 0
   * means never.
   */
  blockAfter: number
}

/** A window and its rule. */
export interface WindowCheck {
  key: string
  rule: WindowRule
}

export interface Verdict {
  allowed: boolean
  blocked: boolean
  /** Requests in the window, including this request if it was allowed. */
  count: number
  /** Milliseconds until the next request is allowed, or until the block ends. 0 means now. */
  retryAfterMs: number
  /** Milliseconds until the oldest request leaves the window. */
  resetMs: number
}

/**
 * Exact sliding windows: a log of the times of allowed requests. A refused request does not enter the window. A request
 * leaves the window exactly `windowMs` after it was made.
 */
export interface SlidingWindow {
  hit(key: string, rule: WindowRule): Promise<Verdict>
  /**
   * Enters a request into the windows around its own window, widest first, and then into its own window. If a window
   * refuses the request, the request is removed from the earlier windows. Returns the verdict of the window that
   * refused, or of its own window if the request is allowed.
   */
  hitWithin(wider: WindowCheck[], own: WindowCheck): Promise<Verdict>
  /** Removes the newest allowed request of a key. */
  undo(key: string): Promise<void>
}

/** A client that continues to send requests over its limit is blocked for 15 minutes. */
export const BLOCK_MS = 15 * MINUTE
/**
 * Maximum number of keys with one request. Keys with several requests, and keys at their limit, may each be half as
 * many. A key stores at most `limit` times of 8 bytes. With a limit of 300, that is 96 MB if every client is near its
 * limit.
 */
const MAX_KEYS = 20_000

/** Sliding windows of this process only. {@link WindowEntries} decides which keys are forgotten. */
export class LocalSlidingWindow implements SlidingWindow {
  readonly #clock: Clock
  readonly #entries: WindowEntries

  constructor (clock: Clock, maxKeys = MAX_KEYS) {
    this.#clock = clock
    this.#entries = new WindowEntries(maxKeys)
  }

  async hit (key: string, rule: WindowRule): Promise<Verdict> {
    return this.hitNow(key, rule)
  }

  /** {@link hit} without a promise. */
  hitNow (key: string, rule: WindowRule): Verdict {
    // The monotonic clock is used. A wall clock that is set back would refuse clients until it reaches its previous
    // time.
    const now = this.#clock.monotonicNow()
    const entry = this.#entries.get(key) ?? freshEntry(now)
    const allowed = enter(entry, now, rule)
    entry.endsAt = Math.max(entry.blockedUntil, now + rule.windowMs)
    this.#entries.keep(key, entry, rankOf(entry, now, rule.limit), now)
    return verdict(entry, now, rule, allowed)
  }

  async hitWithin (wider: WindowCheck[], own: WindowCheck): Promise<Verdict> {
    return this.hitWithinNow(wider, own)
  }

  /** {@link hitWithin} without a promise. */
  hitWithinNow (wider: WindowCheck[], own: WindowCheck): Verdict {
    const taken: string[] = []
    const check = ({ key, rule }: WindowCheck): Verdict => {
      const verdict = this.hitNow(key, rule)
      if (verdict.allowed) taken.push(key)
      else for (const other of taken) this.undoNow(other)
      return verdict
    }
    for (const one of wider) {
      const verdict = check(one)
      if (!verdict.allowed) return verdict
    }
    return check(own)
  }

  async undo (key: string): Promise<void> {
    this.undoNow(key)
  }

  /** {@link undo} without a promise. */
  undoNow (key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.moments.pop()
    if (entry.moments.length === 0 && entry.refused === 0 && entry.blockedUntil === 0) this.#entries.delete(key)
  }

  /** Number of stored keys. */
  get size (): number {
    return this.#entries.size
  }
}

function freshEntry (now: number): WindowEntry {
  return { moments: [], refused: 0, refusedSince: now, blockedUntil: 0, endsAt: now }
}

/** Enters a request into a window, or counts it as refused. Returns whether it is allowed. */
function enter (entry: WindowEntry, now: number, { limit, windowMs, blockAfter }: WindowRule): boolean {
  if (entry.blockedUntil > now) return false
  let left = 0
  while (left < entry.moments.length && entry.moments[left]! <= now - windowMs) left++
  if (left > 0) entry.moments.splice(0, left)
  if (entry.moments.length < limit) {
    entry.moments.push(now)
    return true
  }
  if (blockAfter === 0) return false
  if (entry.refusedSince <= now - windowMs) {
    entry.refused = 0
    entry.refusedSince = now
  }
  entry.refused++
  if (limit + entry.refused > blockAfter) {
    entry.blockedUntil = now + BLOCK_MS
    entry.refused = 0
  }
  return false
}

function rankOf (entry: WindowEntry, now: number, limit: number): Rank {
  if (entry.blockedUntil > now || entry.moments.length >= limit) return 'limited'
  return entry.moments.length > 1 ? 'several' : 'single'
}

function verdict (entry: WindowEntry, now: number, { limit, windowMs }: WindowRule, allowed: boolean): Verdict {
  const blocked = entry.blockedUntil > now
  const resetMs = entry.moments.length > 0 ? entry.moments[0]! + windowMs - now : 0
  const retryAfterMs = blocked ? entry.blockedUntil - now : entry.moments.length < limit ? 0 : resetMs
  return { allowed, blocked, count: entry.moments.length, retryAfterMs, resetMs }
}
