import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Keyring } from '../secrets/keyring.js'
import { HOUR, SECOND, type Clock } from '../time.js'
import { Attempt, LEASE_MS, unsealValue, type Answer } from './attempt.js'
import {
  deleteOldKey,
  deleteOldKeys,
  findKey,
  insertKey,
  updateHeldKey,
  type KeyName,
  type KeyRow
} from './idempotency-store.js'

/** The time for which a response is kept. Clients retry for minutes; 24 hours also cover a night. */
const KEEP_MS = 24 * HOUR
/** Longer than a lease, so that a retry after a crash takes the key over. */
const WAIT_MS = 15 * SECOND
const POLL_EVERY_MS = 100
const PRUNE_BATCH = 1000

interface IdempotencyOptions {
  db: Kysely<Database>
  clock: Clock
  keys: Keyring
  /** How long a request waits for the first request with its key, in milliseconds. */
  waitMs?: number | undefined
}

/** A finished request: its response, and the fingerprint that a repeated request must have. */
export interface Finished {
  fingerprint: string
  answer: Answer
}

/**
 * Runs each request with an `Idempotency-Key` once, across all processes
 * (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
 */
export class Idempotency {
  readonly #options: IdempotencyOptions

  constructor (options: IdempotencyOptions) {
    this.#options = options
  }

  /**
   * Returns an attempt to run the request, which the caller must end, or the finished request. Waits while another
   * request holds the key. **Throws** `idempotency_key_in_use` after 15 seconds, or `secret_key_missing`.
   */
  async begin (name: KeyName): Promise<Attempt | Finished> {
    const { clock, waitMs = WAIT_MS } = this.#options
    const deadline = clock.monotonicNow() + waitMs
    for (;;) {
      const begun = await this.#claim(name)
      if (begun !== undefined) return begun
      if (clock.monotonicNow() >= deadline) {
        throw new ApiError('idempotency_key_in_use', { headers: { 'retry-after': '5' } })
      }
      await sleep(POLL_EVERY_MS)
    }
  }

  /** Deletes the keys that are older than 24 hours. */
  async prune (now: number, signal: AbortSignal): Promise<void> {
    while ((await deleteOldKeys(this.#options.db, now - KEEP_MS, PRUNE_BATCH)) === PRUNE_BATCH) signal.throwIfAborted()
  }

  /** Returns undefined while another request holds the key. */
  async #claim (name: KeyName): Promise<Attempt | Finished | undefined> {
    const { db, clock } = this.#options
    const [now, holder] = [clock.now(), randomUUID()]
    const leaseUntil = now + LEASE_MS
    let row = await findKey(db, name)
    if (row !== undefined && row.createdAt < now - KEEP_MS && !isHeld(row, now)) {
      await deleteOldKey(db, name, now - KEEP_MS)
      row = undefined
    }
    if (row === undefined) {
      const isInserted = await insertKey(db, name, { holder, leaseUntil, createdAt: now })
      return isInserted ? this.#attempt(name, holder, { fingerprint: null, parts: null }) : undefined
    }
    if (row.answer !== null && row.fingerprint !== null) {
      return { fingerprint: row.fingerprint, answer: unsealValue(row.answer, name, this.#options.keys) as Answer }
    }
    if (isHeld(row, now) || !(await updateHeldKey(db, name, row.holder, { holder, leaseUntil }))) return undefined
    return this.#attempt(name, holder, row)
  }

  #attempt (name: KeyName, holder: string, { fingerprint, parts }: Pick<KeyRow, 'fingerprint' | 'parts'>): Attempt {
    const recorded = parts === null ? [] : (unsealValue(parts, name, this.#options.keys) as unknown[])
    return new Attempt({ ...this.#options, name, holder, fingerprint, parts: recorded })
  }
}

/** A lease that ends later than a new lease was taken before the clock was set back. It is not held. */
function isHeld ({ leaseUntil, answer }: KeyRow, now: number): boolean {
  return answer === null && leaseUntil > now && leaseUntil <= now + LEASE_MS
}
