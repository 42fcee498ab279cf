import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { advisoryLock } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { StartupError } from '../errors.js'
import { MINUTE, SECOND } from '../time.js'
import type { Keyring } from './keyring.js'
import {
  deleteAllProcessKeys,
  deleteProcessKeys,
  deleteStaleProcessKeys,
  listOtherProcessKeys,
  upsertProcessKeys,
  type ProcessKeys
} from './process-key-store.js'

const RENEW_EVERY_MS = 10 * SECOND
/** A process that was killed counts as running for this long. */
const LIVE_MS = MINUTE

const REFUSAL =
  'a running server does not know this SECRET_KEY, or this server does not know its key: roll out a new key in two ' +
  'steps (docs/security.md). First add it to SECRET_KEYS_PREVIOUS of every process. Then make it the SECRET_KEY, and ' +
  'keep the old one in SECRET_KEYS_PREVIOUS. A killed server counts as running for one minute'

const LOST_PLACE =
  'not ready: a server with another SECRET_KEY started while this one did not reach the database for a minute; ' +
  'restart this one with the same SECRET_KEY, and the old one in SECRET_KEYS_PREVIOUS (docs/security.md)'

interface Options {
  db: Kysely<Database>
  keys: Keyring
  /** No other process uses the database, so rows in the table are those of killed processes. */
  isOnlyInstance: boolean
  log: Record<'info' | 'error', (about: object, text: string) => void>
}

/**
 * Announces the keys of this process to the other processes. On a frozen machine, or while the database is down, a
 * process cannot renew. After a minute without renewal, it counts as ended, and a process with a new key may start. So
 * each renewal checks the other processes again. If their keys do not match, this process withdraws its announcement
 * and is invalid until they end. It must be restarted with keys that all processes know.
 */
export class KeyAgreement {
  readonly #options: Options
  readonly #own: ProcessKeys
  #isValid = true
  #renewing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (options: Options) {
    const { keys } = options
    this.#options = options
    this.#own = { id: randomUUID(), currentKey: keys.current.id, knownKeys: keys.ids }
  }

  /** False while this process and another running process cannot verify each other's signatures. */
  get isValid (): boolean {
    return this.#isValid
  }

  /**
   * Announces the keys. **Throws** {@link StartupError} if this process and a running process cannot verify each
   * other's signatures.
   */
  async start (): Promise<void> {
    const { db, isOnlyInstance } = this.#options
    if (isOnlyInstance) await deleteAllProcessKeys(db)
    if (!(await this.#announce())) throw new StartupError(REFUSAL)
    this.#timer = setInterval(() => {
      // Only one renewal runs at a time, so that requests to a slow database do not accumulate.
      this.#renewing ??= this.renew()
        .catch(() => {})
        .finally(() => {
          this.#renewing = undefined
        })
    }, RENEW_EVERY_MS).unref()
  }

  /** Announces the keys again, and checks the keys of the other processes. */
  async renew (): Promise<void> {
    const isValid = await this.#announce()
    if (isValid === this.#isValid) return
    this.#isValid = isValid
    const { log } = this.#options
    if (isValid) log.info({}, 'ready again: all running servers know the SECRET_KEY of each other')
    else log.error({}, LOST_PLACE)
  }

  /** Stops the renewal and withdraws the announcement. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewing
    await deleteProcessKeys(this.#options.db, this.#own.id).catch(() => {})
  }

  async #announce (): Promise<boolean> {
    const own = this.#own
    return await this.#options.db.transaction().execute(async (trx) => {
      // If two processes start together, the second one reads the announcement of the first.
      await advisoryLock(trx, 'server_processes')
      await deleteStaleProcessKeys(trx, LIVE_MS)
      const others = await listOtherProcessKeys(trx, own.id)
      const isValid = others.every(
        (other) => other.knownKeys.includes(own.currentKey) && own.knownKeys.includes(other.currentKey)
      )
      if (isValid) await upsertProcessKeys(trx, own)
      else await deleteProcessKeys(trx, own.id)
      return isValid
    })
  }
}
