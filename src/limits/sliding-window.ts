import { MINUTE, type Clock } from '../time.js'
import { WindowEntries, type Rank, type WindowEntry } from './window-entries.js'

/** What to hold a key to: `limit` requests in any `windowMs`. */
export interface WindowRule {
  limit: number
  windowMs: number
  /** Past this many tries in one window, refused ones included, the key is blocked for {@link BLOCK_MS}. 0: never. */
  blockAfter: number
}

/** One window and what it is held to. */
export interface WindowCheck {
  key: string
  rule: WindowRule
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
  /**
   * Enters a request into windows around its own first, widest first, and then into its own. A window that refuses it
   * decides, and the others are given back. Returns the verdict of the window that decided: its own for an allowed one.
   */
  hitWithin(wider: WindowCheck[], own: WindowCheck): Promise<Verdict>
  /** Takes back the newest allowed request of a key. */
  undo(key: string): Promise<void>
}

/** A client that goes on past its limit is blocked for 15 minutes. */
export const BLOCK_MS = 15 * MINUTE
/**
 * Keys with one request; of those with several, and of those at their limit, half as many each. A key holds at most its
 * limit in moments: with 300 of 8 bytes, 96 MB when every client is about at its limit.
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
    // Monotonic: a wall clock that is set back would refuse clients until it is where it was.
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

  /** Keys held. */
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
