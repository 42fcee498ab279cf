import { setImmediate as turn } from 'node:timers/promises'
import { ApiError } from '../errors.js'

interface Transfer {
  check: () => Promise<unknown>
  end: (refusal: ApiError) => void
}

/** After this many checks the event loop gets its turn. The record cache serves most of them. */
const BATCH = 50

/**
 * Checks every `everyMs` whether what is under way is still allowed, and ends what is not. One timer a process, none
 * while nothing is under way.
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
   * `check` rejects with a refusal (an ApiError below 500) once the transfer is not allowed: then `end` is called,
   * once. Returns how to stop.
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

  /** A check that fails for another reason, a lost database say, ends nothing. */
  async #ask (transfer: Transfer): Promise<void> {
    try {
      await transfer.check()
    } catch (error) {
      if (error instanceof ApiError && error.statusCode < 500 && this.#transfers.delete(transfer)) transfer.end(error)
    }
  }
}
