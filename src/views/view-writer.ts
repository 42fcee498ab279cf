import { ApiError } from '../errors.js'
import type { View } from './schema.js'
import type { ViewOutcome } from './view-store.js'

/** Maximum views in one transaction: at 7 parameters a row, it stays below SQLite's maximum of 32,766 parameters. */
const MAX_BATCH = 1000
/** Maximum queued views: a few seconds of writes on a busy disk. */
const MAX_WAITING = 20_000

/** Commits a batch durably. Returns the outcomes in the order of the batch. */
export type CommitViews = (batch: View[]) => Promise<ViewOutcome[]>

interface Waiting {
  view: View
  resolve(outcome: ViewOutcome): void
  reject(error: unknown): void
}

/**
 * Group commit. One transaction gets all views that arrived during the last commit, or in the current turn of the event
 * loop. Each caller gets its result after the commit. Views are not delayed to make a batch larger.
 */
export class ViewWriter {
  readonly #commit: CommitViews
  readonly #onBatch: (outcomes: ViewOutcome[]) => void
  #waiting: Waiting[] = []
  #busy: Promise<void> | undefined

  constructor (commit: CommitViews, onBatch: (outcomes: ViewOutcome[]) => void = () => {}) {
    this.#commit = commit
    this.#onBatch = onBatch
  }

  /** Resolves when the view is durable. **Throws** `overloaded` if too many views are queued. */
  write (view: View): Promise<ViewOutcome> {
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(new ApiError('overloaded', { headers: { 'retry-after': '5' } }))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ view, resolve, reject })
      this.#busy ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#drain())
    })
  }

  get waiting (): number {
    return this.#waiting.length
  }

  /** Resolves when all queued views were committed or have failed. */
  async flush (): Promise<void> {
    while (this.#busy !== undefined) await this.#busy
  }

  async #drain (): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH)
      try {
        const outcomes = await this.#commit(batch.map(({ view }) => view))
        this.#onBatch(outcomes)
        batch.forEach(({ resolve }, index) => resolve(outcomes[index]!))
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#busy = undefined
  }
}
