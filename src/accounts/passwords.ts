import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { ApiError, invalidField } from '../errors.js'
import { addressKey } from '../http/client-address.js'
import { networksOf } from '../http/client-networks.js'
import { FairQueue } from '../jobs/fair-queue.js'
import { SECOND } from '../time.js'
import type { PasswordTask } from './password-worker.js'

/**
 * The Password Storage Cheat Sheet of OWASP requires a work factor of at least 10. 12 costs 0.3 s of CPU on a small
 * server.
 */
export const BCRYPT_COST = 12
/** Bcrypt ignores all bytes after the 72nd. */
const MAX_PASSWORD_BYTES = 72
/** At 0.3 s each, the last hash in the queue waits about ten seconds on one core. */
const MAX_WAITING_HASHES = 32
/** Maximum time from the start of a thread to its result: 30 times the time of a hash on a small server. */
const HASH_LIMIT_MS = 10 * SECOND

/** The 1,000 most common passwords of allowed length, in lower case. build.js takes them from zxcvbn's list. */
const commonest = new Set(
  readFileSync(new URL('../../assets/common-passwords.txt', import.meta.url), 'utf8').split('\n')
)

/**
 * Refuses a password that bcrypt would cut, or that is among the 1,000 most common ones. **Throws** `validation_failed`
 * on `path`.
 */
export function checkPassword (given: string, path = 'password'): void {
  const password = given.normalize('NFC')
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw invalidField(path, `must not be longer than ${MAX_PASSWORD_BYTES} bytes`)
  }
  if (commonest.has(password.toLowerCase())) throw invalidField(path, 'is one of the most common passwords')
}

/**
 * Bcrypt in worker threads. Client networks take turns in a bounded queue. Keyboards compose letters differently, so
 * passwords are hashed in NFC (RFC 8265, section 4.2).
 */
export interface PasswordHasher {
  /**
   * Returns the hash of a password. A client address waits for the turn of its network. **Throws** `shutting_down`, or
   * `overloaded` when the queue is full and this client's network has the most waiting tasks.
   */
  hash(password: string, address: string): Promise<string>
  /**
   * Compares a password with the stored hash, in NFC and as typed. Returns false for a password that bcrypt would cut.
   * Without a stored hash, compares with a dummy hash of the same cost, then returns false after equal time. **Throws**
   * the errors of {@link hash}.
   */
  matches(password: string, hash: string | undefined, address: string): Promise<boolean>
  /** The number of waiting and running tasks. */
  pending(): number
  /** Starts a thread, and makes the dummy hash for unknown accounts. */
  warmUp(): Promise<unknown>
  close(): Promise<void>
}

/** Computes hashes, up to `threads` at the same time. */
export interface HashWorkers {
  threads: number
  run(task: PasswordTask): Promise<string | boolean>
  close(): Promise<void>
}

export interface HasherOptions {
  maxWaiting?: number
  workers?: HashWorkers
}

export function createPasswordHasher (cost = BCRYPT_COST, options: HasherOptions = {}): PasswordHasher {
  const { maxWaiting = MAX_WAITING_HASHES, workers = startHashWorkers() } = options
  const queue = new FairQueue({ slots: workers.threads, maxWaiting })
  let dummy: Promise<string> | undefined

  function dummyHash (): Promise<string> {
    const make = async () => (await workers.run({ password: 'no account has this one', cost })) as string
    dummy ??= queue.run('no client', make).catch((error: unknown) => {
      dummy = undefined
      throw error
    })
    return dummy
  }

  return {
    async hash (typed, address) {
      const password = typed.normalize('NFC')
      return (await queue.run(queuePath(address), () => workers.run({ password, cost }))) as string
    },
    async matches (typed, hash, address) {
      const compared = hash ?? (await dummyHash())
      return await queue.run(queuePath(address), async () => {
        for (const password of new Set([typed.normalize('NFC'), typed])) {
          const matched = await workers.run({ password, hash: compared })
          if (matched && hash !== undefined && Buffer.byteLength(password) <= MAX_PASSWORD_BYTES) return true
        }
        return false
      })
    },
    pending: () => queue.pending,
    warmUp: dummyHash,
    async close () {
      queue.close(new ApiError('shutting_down', { headers: { 'retry-after': '5' } }))
      await workers.close()
    }
  }
}

/**
 * Returns the provider, the site and the client of an address. The owner of many addresses in one network delays only
 * that network.
 */
function queuePath (address: string): string[] {
  const client = addressKey(address)
  const networks = networksOf(client)
  return networks === undefined ? [client] : [networks.provider, networks.site, client]
}

/** Options for tests. */
interface HashWorkerOptions {
  filename?: string
  limitMs?: number
}

/** Starts threads on demand. A task **throws** `overloaded` if its thread ends or takes longer than `limitMs`. */
export function startHashWorkers ({
  filename = new URL('./password-worker.js', import.meta.url).href,
  limitMs = HASH_LIMIT_MS
}: HashWorkerOptions = {}): HashWorkers {
  const threads = Math.max(1, availableParallelism() - 1)
  const pool = new Piscina({
    filename,
    minThreads: 0,
    maxThreads: threads,
    // Without this option, a task that finds all threads busy is queued behind each later task.
    stricterFIFO: true,
    idleTimeout: 60_000,
    closeTimeout: limitMs
  })
  // A thread failed before it received a task. The pool loses the task that waited for it; the time limit ends the
  // task.
  pool.on('error', () => {})
  return {
    threads,
    async run (task) {
      const limit = new AbortController()
      const late = setTimeout(() => limit.abort(), limitMs)
      try {
        return (await pool.run(task, { signal: limit.signal })) as string | boolean
      } catch (error) {
        const cause = limit.signal.aborted ? new Error(`no hash within ${limitMs / SECOND} s`) : error
        throw new ApiError('overloaded', { cause, headers: { 'retry-after': '5' } })
      } finally {
        clearTimeout(late)
      }
    },
    close: () => pool.close({ force: true })
  }
}
