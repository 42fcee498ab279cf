import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { ApiError, invalidField } from '../errors.js'
import { addressKey } from '../http/client-address.js'
import { networksOf } from '../http/client-networks.js'
import { FairQueue } from '../jobs/fair-queue.js'
import { SECOND } from '../time.js'
import type { PasswordTask } from './password-worker.js'

/** OWASP's Password Storage Cheat Sheet asks for a work factor of 10 at least; 12 is 0.3 s of CPU on a small server. */
export const BCRYPT_COST = 12
/** Bcrypt reads no byte after the 72nd. */
const MAX_PASSWORD_BYTES = 72
/** With 0.3 s each, the last in the queue waits about ten seconds on one core. */
const MAX_WAITING_HASHES = 32
/** From a thread's start to its result: 30 times what a hash takes on a small server. */
const HASH_LIMIT_MS = 10 * SECOND

/** The 1,000 commonest of those long enough, in lower case; build.js takes them from zxcvbn's list. */
const commonest = new Set(
  readFileSync(new URL('../../assets/common-passwords.txt', import.meta.url), 'utf8').split('\n')
)

/** Refuses (422 on `path`) a password that bcrypt would cut, or that is among the 1,000 commonest of allowed length. */
export function checkPassword (given: string, path = 'password'): void {
  const password = given.normalize('NFC')
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw invalidField(path, `must not be longer than ${MAX_PASSWORD_BYTES} bytes`)
  }
  if (commonest.has(password.toLowerCase())) throw invalidField(path, 'is one of the most common passwords')
}

/**
 * Bcrypt in worker threads, with a bounded queue in which client networks take turns. Keyboards differ in how they
 * compose letters, so passwords are hashed in NFC (RFC 8265, 4.2).
 */
export interface PasswordHasher {
  /**
   * Returns the hash of a password, in the turn of a client address. **Throws** `overloaded` when the queue is full and
   * this client's network is the one with the most waiting tasks; `shutting_down`.
   */
  hash(password: string, address: string): Promise<string>
  /**
   * Compares with the stored hash, which may be of the password as it was typed. Without a stored hash it compares with
   * one of the same cost and returns false, after equal time. So does a password that bcrypt would cut. **Throws** as
   * {@link hash} does.
   */
  matches(password: string, hash: string | undefined, address: string): Promise<boolean>
  /** Tasks waiting or running. */
  pending(): number
  /** Starts a thread, and makes the hash that unknown accounts are compared with. */
  warmUp(): Promise<unknown>
  close(): Promise<void>
}

/** What computes hashes, as many at once as it has threads. */
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

/** Provider, site, client: whoever has many addresses of one network delays that network only. */
function queuePath (address: string): string[] {
  const client = addressKey(address)
  const networks = networksOf(client)
  return networks === undefined ? [client] : [networks.provider, networks.site, client]
}

/** What tests change. */
interface HashWorkerOptions {
  filename?: string
  limitMs?: number
}

/** Starts threads on demand. A task **throws** `overloaded` when its thread ends or takes longer than `limitMs`. */
export function startHashWorkers ({
  filename = new URL('./password-worker.js', import.meta.url).href,
  limitMs = HASH_LIMIT_MS
}: HashWorkerOptions = {}): HashWorkers {
  const threads = Math.max(1, availableParallelism() - 1)
  const pool = new Piscina({
    filename,
    minThreads: 0,
    maxThreads: threads,
    // Without it, what found all threads busy goes behind whatever comes later, again and again.
    stricterFIFO: true,
    idleTimeout: 60_000,
    closeTimeout: limitMs
  })
  // A thread that failed before it took a task. The pool forgets the task that waited for it, which the limit ends.
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
