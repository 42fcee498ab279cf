import { LRUCache } from 'lru-cache'
import { SECOND } from '../time.js'

/** The state of a key in a sliding window. */
export interface WindowEntry {
  /** Times of allowed requests, oldest first. */
  moments: number[]
  /** Refused requests since `refusedSince`. */
  refused: number
  refusedSince: number
  blockedUntil: number
  /** From this time on, the entry has no effect. */
  endsAt: number
}

/** The activity of a key: at most one request, several requests, or at its limit (or blocked). */
export type Rank = 'single' | 'several' | 'limited'

/** Minimum time between two scans of a full segment. A scan of 10,000 entries takes less than a millisecond. */
const SWEEP_EVERY_MS = SECOND

/** Entries that new entries cannot evict. A full segment accepts a new entry only in place of an expired entry. */
class Segment {
  readonly entries = new Map<string, WindowEntry>()
  readonly #max: number
  #sweptAt = -Infinity

  constructor (max: number) {
    this.#max = max
  }

  hasRoom (now: number): boolean {
    if (this.entries.size < this.#max) return true
    if (now - this.#sweptAt < SWEEP_EVERY_MS) return false
    this.#sweptAt = now
    for (const [key, entry] of this.entries) if (entry.endsAt <= now) this.entries.delete(key)
    return this.entries.size < this.#max
  }
}

/**
 * Entries by key, in segments by rank. Keys with one request each evict only one another, never an active limit or
 * block. If the segment of a rank is full of active entries, a new entry goes to the next lower segment, down to
 * `single`. The segment `single` evicts its least recently used entry. So an active limit stays, and at worst a later
 * limit is forgotten early. If new entries were refused instead, a flood of keys could lock out everybody.
 */
export class WindowEntries {
  readonly #single: LRUCache<string, WindowEntry>
  readonly #several: Segment
  readonly #limited: Segment
  /** The segments for each rank, best first. If they are full, the entry goes to the keys with one request. */
  readonly #placesOf: Record<Rank, Segment[]>

  /**
   * `maxKeys` limits the keys with one request. Keys with several requests, and keys at their limit, may each be half
   * as many.
   */
  constructor (maxKeys: number) {
    this.#single = new LRUCache({ max: maxKeys })
    this.#several = new Segment(Math.ceil(maxKeys / 2))
    this.#limited = new Segment(Math.ceil(maxKeys / 2))
    this.#placesOf = { single: [], several: [this.#several], limited: [this.#limited, this.#several] }
  }

  get size (): number {
    return this.#single.size + this.#several.entries.size + this.#limited.entries.size
  }

  get (key: string): WindowEntry | undefined {
    return this.#several.entries.get(key) ?? this.#limited.entries.get(key) ?? this.#single.get(key)
  }

  keep (key: string, entry: WindowEntry, rank: Rank, now: number): void {
    for (const segment of this.#placesOf[rank]) {
      if (segment.entries.has(key)) return
      if (segment.hasRoom(now)) {
        this.delete(key)
        segment.entries.set(key, entry)
        return
      }
    }
    if (this.#single.has(key)) return
    this.delete(key)
    this.#single.set(key, entry)
  }

  delete (key: string): void {
    for (const entries of [this.#single, this.#several.entries, this.#limited.entries]) entries.delete(key)
  }
}
