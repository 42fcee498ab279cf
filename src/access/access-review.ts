import { setImmediate as turn } from 'node:timers/promises'
import { ApiError } from '../errors.js'

interface Transfer {
  check: () => Promise<unknown>
  end: (refusal: ApiError) => void
}

/** After this many checks, the event loop processes other events. The record cache serves most checks. */
const BATCH = 50

/**
 * Checks every `everyMs` milliseconds whether each current transfer is still allowed, and ends a transfer that is not.
 * A process has one timer. It runs only during transfers.
 */
export class AccessReview {
  readonly #everyMs: number
  readonly #transfers = new Set<Transfer>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor (everyMs: number) {
    this.#everyMs = everyMs
  }

  /**
   * Adds a transfer. `check` rejects with a refusal (an ApiError below 500) when the transfer is no longer allowed;
   * `end` is then called once. Returns a function that removes the transfer.
   */
  add (check: Transfer['check'], end: Transfer['end']): () => void {
    const transfer = { check, end }
    this.#transfers.add(transfer)
    this.#arm()
    return () => {
      this.#transfers.delete(transfer)
    }
  }

  /** Checks all transfers now. */
  async review (): Promise<void> {
    const transfers = [...this.#transfers]
    for (let at = 0; at < transfers.length; at += BATCH) {
      await Promise.all(transfers.slice(at, at + BATCH).map((transfer) => this.#ask(transfer)))
      await turn()
    }
  }

  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #arm (): void {
    if (this.#stopped || this.#timer !== undefined || this.#transfers.size === 0) return
    this.#timer = setTimeout(() => {
      void this.review().finally(() => {
        this.#timer = undefined
        this.#arm()
      })
    }, this.#everyMs).unref()
  }

  /** A check that fails for another reason, such as a lost database connection, does not end the transfer. */
  async #ask (transfer: Transfer): Promise<void> {
    try {
      await transfer.check()
    } catch (error) {
      if (error instanceof ApiError && error.statusCode < 500 && this.#transfers.delete(transfer)) transfer.end(error)
    }
  }
}
