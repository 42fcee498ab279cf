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

/**
 * Removes what a crash left behind: drafts nobody writes and blobs without a row. Something is left over only if two
 * looks, 15 minutes apart on a monotonic clock, found it ownerless and unchanged; so uploads of other processes are
 * safe, and so is a wall clock that is off.
 */
export class Sweeper {
  readonly #options: SweepOptions
  #suspects = new Map<string, Suspect>()

  constructor (options: SweepOptions) {
    this.#options = options
  }

  /** Takes one look. With `alone` (no other process uses the store) one look is enough. Answers what it removed. */
  async sweep ({ alone = false, dryRun = false } = {}): Promise<StoredItem[]> {
    const now = this.#options.clock.monotonicNow()
    const suspects = new Map<string, Suspect>()
    const removed: StoredItem[] = []
    for await (const item of this.#ownerless()) {
      const key = `${item.kind}/${item.name}`
      const before = this.#suspects.get(key)
      const since = before?.fingerprint === item.fingerprint ? before.since : now
      if (!alone && !dryRun && now - since < CONFIRM_AFTER_MS) {
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
    return removed
  }

  async * #ownerless (): AsyncIterable<StoredItem> {
    let blobs: StoredItem[] = []
    for await (const item of this.#options.store.list()) {
      if (item.kind === 'draft') yield item
      else blobs.push(item)
      if (blobs.length >= 500) {
        yield * await this.#withoutRow(blobs)
        blobs = []
      }
    }
    yield * await this.#withoutRow(blobs)
  }

  async #withoutRow (blobs: StoredItem[]): Promise<StoredItem[]> {
    if (blobs.length === 0) return []
    const owned = await this.#options.owned(blobs.map((blob) => blob.name))
    return blobs.filter((blob) => !owned.has(blob.name))
  }
}
