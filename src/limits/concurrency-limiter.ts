import { addressKey } from '../http/client-address.js'
import { ApiError, type ProblemCode } from '../errors.js'
import { isoTime, SECOND, type Clock } from '../time.js'

/** How much of something may be under way at once in this process; 0 is no limit. */
export interface PlaceLimits {
  perAccount: number
  perAddress: number
  total: number
}

/** Nobody knows when a stream or an upload will end: soon enough to ask again, too late to be a load. */
const RETRY_AFTER_SECONDS = 5

/**
 * Bounds what is under way at once: work takes a place under its account and its address, and lets go of both when it
 * ends.
 */
export class Places {
  readonly #limits: PlaceLimits
  readonly #refusal: ProblemCode
  readonly #now: Clock
  readonly #taken = new Map<string, number>()
  #total = 0

  /** `refusal` is what a client is answered that has too many; a process that has too many answers `overloaded`. */
  constructor (limits: PlaceLimits, refusal: ProblemCode, now: Clock) {
    this.#limits = limits
    this.#refusal = refusal
    this.#now = now
  }

  /**
   * Answers how to let go, which may be called more than once. Throws 429 for a client that has too many, 503 where
   * there are too many in all.
   */
  take (accountId: string | null, address: string): () => void {
    const { perAccount, perAddress, total } = this.#limits
    const asked = [{ key: `address ${addressKey(address)}`, limit: perAddress }]
    if (accountId !== null) asked.push({ key: `account ${accountId}`, limit: perAccount })
    for (const { key, limit } of asked) {
      if (limit > 0 && (this.#taken.get(key) ?? 0) >= limit) throw this.#tooMany(limit)
    }
    if (total > 0 && this.#total >= total) {
      throw new ApiError('overloaded', { headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } })
    }
    this.#total++
    for (const { key } of asked) this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1)
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#total--
      for (const { key } of asked) {
        const left = this.#taken.get(key)! - 1
        if (left > 0) this.#taken.set(key, left)
        else this.#taken.delete(key)
      }
    }
  }

  /** Places taken. */
  get taken (): number {
    return this.#total
  }

  #tooMany (limit: number): ApiError {
    return new ApiError(this.#refusal, {
      extra: {
        limit,
        remaining: 0,
        reset_at: isoTime(this.#now() + RETRY_AFTER_SECONDS * SECOND),
        retry_after: RETRY_AFTER_SECONDS
      },
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) }
    })
  }
}
