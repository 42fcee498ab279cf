import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { seal, unseal } from '../secrets/encryption.js'
import type { Keyring } from '../secrets/keyring.js'
import { SECOND, type Clock } from '../time.js'
import { isSameRequest } from './fingerprint.js'
import { deleteHeldKey, findKey, updateHeldKey, type KeyName } from './idempotency-store.js'

/** If a process dies, another request may take its key over after this time. */
export const LEASE_MS = 10 * SECOND
const RENEW_EVERY_MS = 3 * SECOND

/** The response of a request that created something. Its status is 201. */
export interface Answer {
  location: string
  /** The body, byte for byte. */
  body: string
}

/** Returns the value that the encrypted values of a key are bound to. */
const boundTo = ({ accountId, key }: KeyName): string => `idempotency ${accountId} ${key}`

/** Decrypts a value of a key's row. **Throws** `secret_key_missing`. */
export function unsealValue (sealed: string, name: KeyName, keys: Keyring): unknown {
  try {
    return JSON.parse(unseal(sealed, boundTo(name), keys).toString('utf8'))
  } catch (cause) {
    throw new ApiError('secret_key_missing', { cause, headers: { 'retry-after': '30' } })
  }
}

interface AttemptOptions {
  db: Kysely<Database>
  clock: Clock
  keys: Keyring
  name: KeyName
  holder: string
  /** The fingerprint of an earlier attempt that finished a part, or null. */
  fingerprint: string | null
  parts: unknown[]
}

/**
 * The only running request of a key. It holds the key by a lease. Its results are written in the transactions of its
 * changes, so that after a crash both exist or none.
 */
export class Attempt {
  readonly #options: AttemptOptions
  readonly #renewal: NodeJS.Timeout

  constructor (options: AttemptOptions) {
    this.#options = options
    this.#renewal = setInterval(() => void this.#renew(), RENEW_EVERY_MS).unref()
  }

  /** The results that an earlier attempt recorded by {@link addPart}, in order. */
  get parts (): readonly unknown[] {
    return this.#options.parts
  }

  /** **Throws** `idempotency_key_reused` if an earlier attempt finished a part of another request. */
  check (fingerprint: string): void {
    const { fingerprint: earlier } = this.#options
    if (earlier !== null && !isSameRequest(earlier, fingerprint)) throw new ApiError('idempotency_key_reused')
  }

  /** Records the result of one change, in its transaction. **Throws** `idempotency_key_in_use` if the lease is lost. */
  async addPart (trx: Kysely<Database>, fingerprint: string, part: unknown): Promise<void> {
    const { name, keys } = this.#options
    // The row has the parts of committed transactions only.
    const row = await findKey(trx, name)
    const parts = row?.parts == null ? [] : (unsealValue(row.parts, name, keys) as unknown[])
    await this.#record(trx, { fingerprint, parts: this.#seal([...parts, part]) })
  }

  /** Records the answer, in the transaction of the change if there is one. **Throws** as {@link addPart}. */
  async finish (trx: Kysely<Database> | undefined, fingerprint: string, answer: Answer): Promise<void> {
    await this.#record(trx ?? this.#options.db, { fingerprint, answer: this.#seal(answer) })
  }

  /** Stops the renewal of the lease. Must be called at the end. */
  close (): void {
    clearInterval(this.#renewal)
  }

  /** Releases the key of a failed request. The key is unused again, unless a part is done. */
  async release (): Promise<void> {
    const { db, name, holder } = this.#options
    if (await deleteHeldKey(db, name, holder)) return
    await updateHeldKey(db, name, holder, { leaseUntil: 0 })
  }

  async #record (
    trx: Kysely<Database>,
    change: { fingerprint: string; parts?: string; answer?: string }
  ): Promise<void> {
    const { name, holder } = this.#options
    if (await updateHeldKey(trx, name, holder, change)) return
    throw new ApiError('idempotency_key_in_use', { headers: { 'retry-after': '1' } })
  }

  /** A failed renewal is not an error: without a lease, {@link finish} refuses. */
  async #renew (): Promise<void> {
    const { db, name, holder, clock } = this.#options
    await updateHeldKey(db, name, holder, { leaseUntil: clock.now() + LEASE_MS }).catch(() => {})
  }

  #seal (value: unknown): string {
    const { name, keys } = this.#options
    return seal(Buffer.from(JSON.stringify(value)), boundTo(name), keys)
  }
}
