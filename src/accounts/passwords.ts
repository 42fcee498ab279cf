import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { ApiError, invalidField } from '../errors.js'

/** OWASP's Password Storage Cheat Sheet asks for a work factor of 10 at least; 12 is 0.3 s of CPU on a small server. */
export const BCRYPT_COST = 12
/** Bcrypt reads no byte after the 72nd. */
const MAX_PASSWORD_BYTES = 72
/** With 0.3 s each, the last in the queue waits about ten seconds on one core. */
const MAX_WAITING_HASHES = 32

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
 * Bcrypt in worker threads, with a bounded queue: both throw `overloaded` (503) when it is full. Keyboards differ in
 * how they compose letters, so passwords are hashed in NFC (RFC 8265, 4.2).
 */
export interface PasswordHasher {
  hash(password: string): Promise<string>
  /**
   * Compares with the stored hash, which may be of the password as it was typed; or, where there is none, with one of
   * the same cost: equal time, always false. So is one that bcrypt would cut.
   */
  matches(password: string, hash: string | undefined): Promise<boolean>
  /** Tasks waiting or running. */
  pending(): number
  /** Starts a thread, and makes the hash that unknown accounts are compared with. */
  warmUp(): Promise<unknown>
  close(): Promise<void>
}

export function createPasswordHasher (cost = BCRYPT_COST, maxWaiting = MAX_WAITING_HASHES): PasswordHasher {
  const pool = new Piscina({
    filename: new URL('./password-worker.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: Math.max(1, availableParallelism() - 1),
    maxQueue: maxWaiting,
    // Without it, what found all threads busy goes behind whatever comes later, again and again.
    stricterFIFO: true,
    idleTimeout: 60_000
  })
  let dummy: Promise<string> | undefined
  let pending = 0

  async function run<T> (task: object): Promise<T> {
    if (pool.queueSize >= maxWaiting) throw new ApiError('overloaded', { headers: { 'retry-after': '5' } })
    pending++
    try {
      return (await pool.run(task)) as T
    } finally {
      pending--
    }
  }

  function dummyHash (): Promise<string> {
    dummy ??= run<string>({ password: 'no account has this one', cost }).catch((error: unknown) => {
      dummy = undefined
      throw error
    })
    return dummy
  }

  return {
    hash: (password) => run<string>({ password: password.normalize('NFC'), cost }),
    async matches (typed, hash) {
      const compared = hash ?? (await dummyHash())
      for (const password of new Set([typed.normalize('NFC'), typed])) {
        const matched = await run<boolean>({ password, hash: compared })
        if (matched && hash !== undefined && Buffer.byteLength(password) <= MAX_PASSWORD_BYTES) return true
      }
      return false
    },
    pending: () => pending,
    warmUp: dummyHash,
    close: () => pool.close({ force: true })
  }
}
