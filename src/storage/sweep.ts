import type { Clock } from '../time.js'
import type { BlobStore, StoredItem } from './blob-store.js'

/** A published blob gets its row within seconds, and a stalled upload is cut sooner than this. */
export const CONFIRM_AFTER_MS = 15 * 60_000

export interface SweepOptions {
  store: BlobStore
  /** Returns the names of the blobs and drafts that have a row. */
  owned(names: string[]): Promise<Set<string>>
  clock: Clock
}

/** An item that may be orphaned, and the monotonic time when a scan first found it. */
interface Suspect {
  fingerprint: string
  since: number
}

export interface SweepOutcome {
  removed: StoredItem[]
  /** Committed blobs without a row. They stay, because the database has lost their rows. */
  kept: StoredItem[]
}

/**
 * Removes orphaned files after a crash: drafts without a writer, and uncommitted blobs without a row. An item is
 * orphaned if two scans, 15 minutes apart on a monotonic clock, find it without an owner and unchanged. So uploads of
 * other processes are safe, even with a wrong wall clock. Blobs with a row and without a mark are marked as committed.
 */
export class Sweeper {
  readonly #options: SweepOptions
  #suspects = new Map<string, Suspect>()

  constructor (options: SweepOptions) {
    this.#options = options
  }

  /**
   * Runs one scan. With `isOnlyInstance`, no other process uses the store, and one scan is enough. With
   * `removeCommitted`, a committed blob without a row is removed, too. A `dryRun` changes nothing.
   */
  async sweep ({ isOnlyInstance = false, dryRun = false, removeCommitted = false } = {}): Promise<SweepOutcome> {
    const now = this.#options.clock.monotonicNow()
    const suspects = new Map<string, Suspect>()
    const removed: StoredItem[] = []
    const kept: StoredItem[] = []
    for await (const item of this.#ownerless(!dryRun)) {
      if (item.kind === 'blob' && (await this.#options.store.isCommitted(item.name))) {
        // The blob had no mark when it was listed, so it got its row after the rows were read.
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
    let items: StoredItem[] = []
    for await (const item of this.#options.store.list()) {
      items.push(item)
      if (items.length >= 500) {
        yield * await this.#withoutRow(items, mark)
        items = []
      }
    }
    yield * await this.#withoutRow(items, mark)
  }

  async #withoutRow (items: StoredItem[], mark: boolean): Promise<StoredItem[]> {
    if (items.length === 0) return []
    const owned = await this.#options.owned(items.map(({ name }) => name))
    for (const { kind, name, committed } of items) {
      // These blobs come from older versions, or their process died between the commit and the mark.
      if (mark && kind === 'blob' && !committed && owned.has(name)) await this.#options.store.markCommitted(name)
    }
    return items.filter(({ name }) => !owned.has(name))
  }
}
