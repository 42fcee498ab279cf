import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { nonDurableTransaction } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { RecordCache } from '../cache/record-cache.js'
import { SECOND, type Clock } from '../time.js'
import { findAccount, findCredentials, lockCredentials, updatePassword, type Credentials } from './account-store.js'
import type { Accounts, NewAccount } from './accounts.js'
import { checkPassword, type PasswordHasher } from './passwords.js'
import { familyOf, hashesOf, newRefreshToken } from './refresh-tokens.js'
import type { Account, Role, Viewer } from './schema.js'
import {
  deleteEnded,
  deleteSession,
  deleteSessionsOf,
  findSessionOfToken,
  findSessionViewer,
  insertSession,
  rotateToken
} from './session-store.js'

/**
 * The oldest sessions beyond this number end. One address can start at most 300 sessions in the 30 minutes of an access
 * token. So a flood of logins from one address cannot end a session that is in use.
 */
const MAX_SESSIONS_OF_ACCOUNT = 1000
const SWEEP_BATCH = 500

/**
 * Counts failed logins of an email. `reserve` **throws** 429 after too many. It returns a function that cancels the
 * counted attempt.
 */
export interface FailedLogins {
  reserve(email: string): Promise<() => void>
}

/** A new refresh token of a session. The database stores only its hash. */
export interface Grant {
  sessionId: string
  refreshToken: string
}

/** A client at `address` sent this password for an account. */
interface Attempt {
  email: string
  password: string
  address: string
}

/** A client at `address` requested this password change. */
export interface PasswordChange {
  current: string
  fresh: string
  address: string
}

interface SessionsOptions {
  db: Kysely<Database>
  accounts: Accounts
  passwords: PasswordHasher
  failedLogins: FailedLogins
  clock: Clock
  accessSeconds: number
  refreshSeconds: number
  /** Called when a refresh token was used twice, because it may be stolen. */
  onReuse(sessionId: string): void
}

/** Logins, refresh tokens and logouts. When a session ends, all its tokens are invalid at once, on every process. */
export class Sessions {
  readonly #options: SessionsOptions
  readonly #viewers: RecordCache<Viewer>

  constructor (options: SessionsOptions) {
    const { db, clock } = options
    this.#options = options
    this.#viewers = new RecordCache((sessionId) => findSessionViewer(db, sessionId, clock.now()), clock)
  }

  /** Creates an account and its first session. **Throws** the errors of {@link Accounts.signUp}. */
  async signUp (newAccount: NewAccount, address: string): Promise<{ account: Account; grant: Grant }> {
    let grant: Grant | undefined
    const account = await this.#options.accounts.signUp(newAccount, address, async (trx, credentials) => {
      grant = await this.#begin(trx, credentials)
    })
    return { account, grant: grant! }
  }

  /**
   * Starts a session with an email and its password. An unknown email takes as long as a wrong password. **Throws**
   * `invalid_credentials`; `account_disabled`, only after the correct password; 429 after too many failed logins of the
   * email; `overloaded` if too many clients of the network wait.
   */
  async logIn (email: string, password: string, address: string): Promise<{ account: Account; grant: Grant }> {
    const { db } = this.#options
    const invalid = () => new ApiError('invalid_credentials')
    const found = await this.#check({ email, password, address }, () => findCredentials(db, email), invalid)
    if (found.account.disabled) throw new ApiError('account_disabled')
    // If a power cut loses the session, the client only has to log in again.
    const grant = await nonDurableTransaction(db, (trx) => this.#begin(trx, found))
    if (grant === undefined) throw new ApiError('invalid_credentials')
    return { account: found.account, grant }
  }

  /**
   * Exchanges a refresh token for the next token. A token is valid once: a second use ends its session, and only one of
   * several parallel uses succeeds. **Throws** `invalid_refresh_token`.
   */
  async refresh (token: string): Promise<{ viewer: Viewer; grant: Grant }> {
    const { db, clock, onReuse } = this.#options
    const { token: refreshToken, ...next } = this.#newToken(familyOf(token))
    const rotation = await rotateToken(db, hashesOf(token), next, clock.now())
    if (rotation.outcome === 'rotated') {
      return { viewer: rotation.viewer, grant: { sessionId: rotation.sessionId, refreshToken } }
    }
    if (rotation.outcome === 'reused') {
      this.#viewers.invalidate(rotation.sessionId)
      onReuse(rotation.sessionId)
    }
    throw new ApiError('invalid_refresh_token')
  }

  /** Ends a session by its id or its refresh token. An unknown session is ignored (RFC 7009, section 2.2). */
  async logOut (session: { id: string | undefined } | { refreshToken: string }): Promise<void> {
    const { db } = this.#options
    const id = 'id' in session ? session.id : await findSessionOfToken(db, hashesOf(session.refreshToken))
    if (id === undefined) return
    await deleteSession(db, id)
    this.#viewers.invalidate(id)
  }

  /**
   * Changes the password of an account, and ends all its sessions except `sessionId`. **Throws** `wrong_password`,
   * `validation_failed`, `overloaded`, or 429 after too many wrong passwords, which count as failed logins.
   */
  async changePassword (viewer: Viewer, sessionId: string | undefined, change: PasswordChange): Promise<void> {
    const { current, fresh, address } = change
    const { db, passwords } = this.#options
    checkPassword(fresh, 'new_password')
    const account = await findAccount(db, viewer.id)
    if (account === undefined) throw new ApiError('invalid_token')
    const { email } = account
    const attempt = { email, password: current, address }
    const { passwordHash: before } = await this.#check(attempt, () => findCredentials(db, email), wrongPassword)
    const after = await passwords.hash(fresh, address)
    await db.transaction().execute(async (trx) => {
      // If two changes run in parallel, the password that the second change sent is no longer correct.
      if ((await lockCredentials(trx, viewer.id))?.passwordHash !== before) throw wrongPassword()
      await updatePassword(trx, viewer.id, after)
      await deleteSessionsOf(trx, viewer.id, sessionId)
    })
    this.#viewers.invalidateAll()
  }

  /**
   * Returns the account of a session, at most a second old; undefined if the session ended or the account is disabled.
   */
  viewer (sessionId: string, since?: number): Promise<Viewer | undefined> {
    return this.#viewers.get(sessionId, since)
  }

  /** Calls {@link Accounts.change}. The change applies at once to the sessions in this process. */
  async changeAccount (id: string, change: { role?: Role; disabled?: boolean }): Promise<Account> {
    const changed = await this.#options.accounts.change(id, change)
    this.#viewers.invalidateAll()
    return changed
  }

  /** Reads every session again before its next use in this process, after sessions of an account ended. */
  invalidate (): void {
    this.#viewers.invalidateAll()
  }

  /** Deletes the sessions and tokens that expired before `now`, in batches. */
  async sweep (now: number): Promise<void> {
    while (await deleteEnded(this.#options.db, now, SWEEP_BATCH)) {
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
  }

  #newToken (family?: string) {
    const { clock, accessSeconds, refreshSeconds } = this.#options
    const token = newRefreshToken(family)
    const tokenExpiresAt = clock.now() + refreshSeconds * SECOND
    const expiresAt = Math.max(tokenExpiresAt, clock.now() + accessSeconds * SECOND)
    return { token, ...hashesOf(token), tokenExpiresAt, expiresAt }
  }

  /** Starts a session; undefined if the account was disabled or its password changed after `account` was read. */
  async #begin (trx: Transaction<Database>, { account, passwordHash }: Credentials): Promise<Grant | undefined> {
    const { token, ...hashes } = this.#newToken()
    const session = { id: uuidv7(), accountId: account.id, createdAt: this.#options.clock.now(), ...hashes }
    const isInserted = await insertSession(trx, session, passwordHash, MAX_SESSIONS_OF_ACCOUNT)
    return isInserted ? { sessionId: session.id, refreshToken: token } : undefined
  }

  /**
   * Checks a password, and counts only a wrong password as a failed login. **Throws** `refusal` for a wrong password,
   * 429 after too many, `overloaded`.
   */
  async #check (
    { email, password, address }: Attempt,
    find: () => Promise<Credentials | undefined>,
    refusal: () => ApiError
  ): Promise<Credentials> {
    const cancel = await this.#options.failedLogins.reserve(email.toLowerCase())
    let isWrong = false
    try {
      const found = await find()
      isWrong =
        !(await this.#options.passwords.matches(password, found?.passwordHash, address)) || found === undefined
      if (isWrong || found === undefined) throw refusal()
      return found
    } finally {
      if (!isWrong) cancel()
    }
  }
}

function wrongPassword (): ApiError {
  return new ApiError('wrong_password', { errors: [{ path: 'current_password', message: 'is wrong' }] })
}
