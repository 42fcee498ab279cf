import type { Kysely, Transaction } from 'kysely'
import { createHash, randomBytes } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import { relaxedTransaction } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { RecordCache } from '../cache/record-cache.js'
import { SECOND, type Clock } from '../time.js'
import { findAccount, findCredentials, lockCredentials, updatePassword, type Credentials } from './account-store.js'
import type { Accounts, NewAccount } from './accounts.js'
import { checkPassword, type PasswordHasher } from './passwords.js'
import type { Account, Role, Viewer } from './schema.js'
import {
  deleteEnded,
  deleteSession,
  deleteSessionsOf,
  findSessionOfToken,
  findSessionViewer,
  insertSession,
  rotateToken,
  type TokenHashes
} from './session-store.js'

/** RFC 9700 asks for tokens that can't be guessed: 256 random bits. */
const TOKEN_BYTES = 32
/** The oldest goes when there are more: far above the 300 that one address may begin while an access token lives. */
const MAX_SESSIONS_OF_ACCOUNT = 1000
const SWEEP_BATCH = 500

/**
 * Counts failed guesses at an account's password: `reserve` throws 429 when there were too many, `giveBack` forgets one
 * that was right.
 */
export interface FailedLogins {
  reserve(email: string): Promise<() => void>
}

/** What a session hands out: the refresh token is shown here, once, and kept nowhere. */
export interface Grant {
  sessionId: string
  refreshToken: string
}

/** A password that a client at `address` gave for an account. */
interface Attempt {
  email: string
  password: string
  address: string
}

/** A password change by a client at `address`. */
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
  /** Told of a refresh token that was shown twice: somebody may have stolen it. */
  onReuse(sessionId: string): void
}

export type Sessions = ReturnType<typeof createSessions>

/** How people come in, stay and leave. A session ends at once for all its tokens, on every process. */
export function createSessions ({
  db,
  accounts,
  passwords,
  failedLogins,
  clock,
  accessSeconds,
  refreshSeconds,
  onReuse
}: SessionsOptions) {
  const facts = new RecordCache<Viewer>((sessionId) => findSessionViewer(db, sessionId, clock.now()), clock)

  /** `<family>.<random>`: all tokens of a session begin with the same random text. */
  function freshToken (family = randomBytes(TOKEN_BYTES).toString('base64url')) {
    const token = `${family}.${randomBytes(TOKEN_BYTES).toString('base64url')}`
    const tokenExpiresAt = clock.now() + refreshSeconds * SECOND
    return {
      token,
      ...hashesOf(token),
      tokenExpiresAt,
      expiresAt: Math.max(tokenExpiresAt, clock.now() + accessSeconds * SECOND)
    }
  }

  async function begin (
    trx: Transaction<Database>,
    { account, passwordHash }: Credentials
  ): Promise<Grant | undefined> {
    const { token, ...fresh } = freshToken()
    const session = { id: uuidv7(), accountId: account.id, createdAt: clock.now(), ...fresh }
    return (await insertSession(trx, session, passwordHash, MAX_SESSIONS_OF_ACCOUNT))
      ? { sessionId: session.id, refreshToken: token }
      : undefined
  }

  /**
   * Checks the password that a client gave for an account, and counts a wrong one. Any other failure is nobody's wrong
   * guess. **Throws** `refusal` for a wrong password, 429 after too many, `overloaded`.
   */
  async function check (
    { email, password, address }: Attempt,
    find: () => Promise<Credentials | undefined>,
    refusal: () => ApiError
  ): Promise<Credentials> {
    const giveBack = await failedLogins.reserve(email.toLowerCase())
    let wrong = false
    try {
      const found = await find()
      wrong = !(await passwords.matches(password, found?.passwordHash, address)) || found === undefined
      if (wrong || found === undefined) throw refusal()
      return found
    } finally {
      if (!wrong) giveBack()
    }
  }

  return {
    /** Creates an account and its first session, for a client at `address`. **Throws** as {@link Accounts.signUp}. */
    async signUp (fresh: NewAccount, address: string): Promise<{ account: Account; grant: Grant }> {
      let grant: Grant | undefined
      const account = await accounts.signUp(fresh, address, async (trx, made) => {
        grant = await begin(trx, made)
      })
      return { account, grant: grant! }
    },

    /**
     * Lets in who knows an email and its password. `invalid_credentials` for anything wrong, after the same time
     * whether the email exists or not; `account_disabled` only after the right password; 429 after too many failures of
     * that email, `overloaded` when too many clients of the network of `address` wait.
     */
    async logIn (email: string, password: string, address: string): Promise<{ account: Account; grant: Grant }> {
      const invalid = () => new ApiError('invalid_credentials')
      const found = await check({ email, password, address }, () => findCredentials(db, email), invalid)
      if (found.account.disabled) throw new ApiError('account_disabled')
      // A power cut that takes the session back asks for the password once more.
      const grant = await relaxedTransaction(db, (trx) => begin(trx, found))
      if (grant === undefined) throw new ApiError('invalid_credentials')
      return { account: found.account, grant }
    },

    /**
     * Exchanges a refresh token for the next one. Each is good once: one that is shown again ends its session, and of
     * parallel uses all but one are that. Throws `invalid_refresh_token`.
     */
    async refresh (token: string): Promise<{ viewer: Viewer; grant: Grant }> {
      const { token: refreshToken, ...fresh } = freshToken(familyOf(token))
      const rotation = await rotateToken(db, hashesOf(token), fresh, clock.now())
      if (rotation.outcome === 'rotated') {
        return { viewer: rotation.viewer, grant: { sessionId: rotation.sessionId, refreshToken } }
      }
      if (rotation.outcome === 'reused') {
        facts.forget(rotation.sessionId)
        onReuse(rotation.sessionId)
      }
      throw new ApiError('invalid_refresh_token')
    },

    /** Ends a session, or that of a refresh token; nothing happens where there is none (RFC 7009, 2.2). */
    async logOut (session: { id: string | undefined } | { refreshToken: string }): Promise<void> {
      const id = 'id' in session ? session.id : await findSessionOfToken(db, hashesOf(session.refreshToken))
      if (id === undefined) return
      await deleteSession(db, id)
      facts.forget(id)
    },

    /**
     * Gives an account another password and ends its sessions, but for the one that asked. Throws `wrong_password` (429
     * after too many, as logins are counted), `validation_failed`, `overloaded`.
     */
    async changePassword (
      viewer: Viewer,
      sessionId: string | undefined,
      { current, fresh, address }: PasswordChange
    ): Promise<void> {
      checkPassword(fresh, 'new_password')
      const account = await findAccount(db, viewer.id)
      if (account === undefined) throw new ApiError('invalid_token')
      const wrongPassword = () =>
        new ApiError('wrong_password', { errors: [{ path: 'current_password', message: 'is not right' }] })
      const attempt = { email: account.email, password: current, address }
      const { passwordHash: before } = await check(attempt, () => findCredentials(db, account.email), wrongPassword)
      const after = await passwords.hash(fresh, address)
      await db.transaction().execute(async (trx) => {
        // Of two that change it at once, the second knew an old password.
        if ((await lockCredentials(trx, viewer.id))?.passwordHash !== before) throw wrongPassword()
        await updatePassword(trx, viewer.id, after)
        await deleteSessionsOf(trx, viewer.id, sessionId)
      })
      facts.forgetAll()
    },

    /**
     * Id and role of the account of a session, at most a second old; undefined if it ended, or the account may not act.
     */
    viewer: (sessionId: string, since?: number): Promise<Viewer | undefined> => facts.get(sessionId, since),

    /** As {@link Accounts.change}; the sessions of this process see it at the next look. */
    async changeAccount (id: string, change: { role?: Role; disabled?: boolean }): Promise<Account> {
      const changed = await accounts.change(id, change)
      facts.forgetAll()
      return changed
    },

    /** Removes what has ended at `now`, in batches. */
    async sweep (now: number): Promise<void> {
      while (await deleteEnded(db, now, SWEEP_BATCH)) {
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
    }
  }
}

/** Undefined for a token that is older than families. */
function familyOf (token: string): string | undefined {
  const end = token.indexOf('.')
  return end === -1 ? undefined : token.slice(0, end)
}

function hashesOf (token: string): TokenHashes {
  const family = familyOf(token)
  return { tokenHash: hashOf(token), familyHash: family === undefined ? null : hashOf(family) }
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}
