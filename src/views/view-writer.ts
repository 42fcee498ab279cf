import { ApiError } from '../errors.js'
import type { View } from './schema.js'
import type { ViewOutcome } from './view-store.js'

/** What one transaction takes: below SQLite's 32,766 parameters at seven a row. */
const MAX_BATCH = 1000
/** Views that may wait: some seconds of a full disk's work. */
const MAX_WAITING = 20_000

/** Commits a batch durably; the outcomes in its order. */
export type CommitViews = (batch: View[]) => Promise<ViewOutcome[]>

interface Waiting {
  view: View
  resolve(outcome: ViewOutcome): void
  reject(error: unknown): void
}

/**
 * Group commit: all views that came while the last batch was being committed, or in this turn of the event loop, go
 * into one transaction, and each caller is answered after it. Nothing is delayed for the sake of a larger batch.
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

  /** Resolves when the view is durable. Throws `overloaded` when too many wait. */
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

  /** Resolves when all that was handed in has been answered. */
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
