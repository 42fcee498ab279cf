import type { Clock } from '../time.js'
import type { BlobStore, StoredItem } from './blob-store.js'

/** Published blobs are written within seconds of their row, and a stalled upload is cut sooner than this. */
export const CONFIRM_AFTER_MS = 15 * 60_000

export interface SweepOptions {
  store: BlobStore
  /** Which of these blob names have a row. */
  owned(names: string[]): Promise<Set<string>>
  clock: Clock
}

/** What looked left over, and since when on the monotonic clock. */
interface Suspect {
  fingerprint: string
  since: number
}

export interface SweepOutcome {
  removed: StoredItem[]
  /** Committed blobs without a row, which stay: the database has lost their rows. */
  kept: StoredItem[]
}

/**
 * Removes what a crash left behind: drafts nobody writes and uncommitted blobs without a row. Something is left over
 * only if two looks, 15 minutes apart on a monotonic clock, found it ownerless and unchanged; so uploads of other
 * processes are safe, and so is a wall clock that is off. Blobs that have a row and no mark are marked as committed.
 */
export class Sweeper {
  readonly #options: SweepOptions
  #suspects = new Map<string, Suspect>()

  constructor (options: SweepOptions) {
    this.#options = options
  }

  /**
   * Takes one look. With `isOnlyInstance` (no other process uses the store) one look is enough. With `removeCommitted`
   * a committed blob without a row is removed like any other. A `dryRun` changes nothing.
   */
  async sweep ({ isOnlyInstance = false, dryRun = false, removeCommitted = false } = {}): Promise<SweepOutcome> {
    const now = this.#options.clock.monotonicNow()
    const suspects = new Map<string, Suspect>()
    const removed: StoredItem[] = []
    const kept: StoredItem[] = []
    for await (const item of this.#ownerless(!dryRun)) {
      if (item.kind === 'blob' && (await this.#options.store.isCommitted(item.name))) {
        // Without the mark when it was listed, it got its row after the rows were read.
        if (!item.committed) continue
        if (!removeCommitted) {
          kept.push(item)
          continue
        }
      }
      const key = `${item.kind}/${item.name}`
      const before = this.#suspects.get(key)
      const since = before?.fingerprint === item.fingerprint ? before.since : now
      if (!isOnlyInstance && !dryRun && now - since < CONFIRM_AFTER_MS) {
        suspects.set(key, { fingerprint: item.fingerprint, since })
        continue
      }
      if (!dryRun) {
        await (item.kind === 'draft'
          ? this.#options.store.removeDraft(item.name)
          : this.#options.store.remove(item.name))
      }
      removed.push(item)
    }
    this.#suspects = suspects
    return { removed, kept }
  }

  async * #ownerless (mark: boolean): AsyncIterable<StoredItem> {
    let blobs: StoredItem[] = []
    for await (const item of this.#options.store.list()) {
      if (item.kind === 'draft') yield item
      else blobs.push(item)
      if (blobs.length >= 500) {
        yield * await this.#withoutRow(blobs, mark)
        blobs = []
      }
    }
    yield * await this.#withoutRow(blobs, mark)
  }

  async #withoutRow (blobs: StoredItem[], mark: boolean): Promise<StoredItem[]> {
    if (blobs.length === 0) return []
    const owned = await this.#options.owned(blobs.map((blob) => blob.name))
    for (const { name, committed } of blobs) {
      // Blobs of older versions, and those whose process died between the commit and the mark.
      if (mark && !committed && owned.has(name)) await this.#options.store.markCommitted(name)
    }
    return blobs.filter((blob) => !owned.has(blob.name))
  }
}
