import { LRUCache } from 'lru-cache'
import { SECOND } from '../time.js'

/** What a sliding window knows of one key. */
export interface WindowEntry {
  /** Moments of allowed requests, oldest first. */
  moments: number[]
  /** Refused tries since `refusedSince`. */
  refused: number
  refusedSince: number
  blockedUntil: number
  /** From this moment the entry says nothing any more. */
  endsAt: number
}

/** What a key has done: at most one request, several, or as many as it may (or it is blocked). */
export type Rank = 'single' | 'several' | 'limited'

/** At most so often are all entries of a full segment looked at: 10,000 take less than a millisecond. */
const SWEEP_EVERY_MS = SECOND

/** Entries that others cannot push out: a full segment takes a newcomer only in place of an entry that has ended. */
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
 * Entries by key, in segments by rank, so that many keys with one request each push out one another and no limit or
 * block that holds. When the segment of a rank is full of entries that hold, a newcomer stays in the next lower one,
 * down to `single`, where the longest unused goes first. So a limit that holds stays, and at worst a later one is
 * forgotten early. To refuse newcomers instead would let a flood of keys keep everybody out.
 */
export class WindowEntries {
  readonly #single: LRUCache<string, WindowEntry>
  readonly #several: Segment
  readonly #limited: Segment
  /** Where an entry of a rank belongs, the best place first; in the end among those with one request. */
  readonly #placesOf: Record<Rank, Segment[]>

  /** `maxKeys` with one request, and half as many with several and at their limit each. */
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
