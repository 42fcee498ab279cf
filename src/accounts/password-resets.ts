import type { Kysely } from 'kysely'
import { createHash, randomBytes } from 'node:crypto'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { DAY, type Clock } from '../time.js'
import { lockCredentials, updatePassword } from './account-store.js'
import { checkPassword, type PasswordHasher } from './passwords.js'
import {
  deleteExpiredResetLinks,
  deleteResetLink,
  findResetAccount,
  replaceResetLink
} from './reset-link-store.js'
import { deleteSessionsOf } from './session-store.js'

/** A link cannot be guessed: 256 random bits. The database stores its SHA-256. */
const TOKEN_BYTES = 32
/** Long enough to be handed over by any means, and short enough for a message that is found later. */
const LINK_LIFE_MS = DAY

/** A link by which the owner of an account sets a new password once. */
export interface ResetLink {
  url: string
  expiresAt: number
}

/** A new password, sent by a client at `address`. */
export interface PasswordReset {
  token: string
  password: string
  address: string
}

interface Options {
  db: Kysely<Database>
  clock: Clock
  passwords: PasswordHasher
  /** Called when a reset has ended the sessions of an account. */
  onSessionsEnded(): void
}

/** Sets new passwords without mail: an administrator hands out a link that works once. */
export class PasswordResets {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Calls {@link createResetLink}. */
  createLink (accountId: string, origin: string): Promise<ResetLink> {
    const { db, clock } = this.#options
    return createResetLink(db, accountId, { origin, now: clock.now() })
  }

  /**
   * Sets a new password by the token of a link, and ends all sessions of the account. Of several parallel requests, one
   * succeeds. **Throws** `validation_failed`, `reset_link_invalid`, `overloaded`.
   */
  async reset ({ token, password, address }: PasswordReset): Promise<void> {
    const { db, clock, passwords, onSessionsEnded } = this.#options
    checkPassword(password)
    const tokenHash = hashOf(token)
    // Before the hash of the password, which costs 0.3 s of CPU.
    const accountId = await findResetAccount(db, tokenHash, clock.now())
    if (accountId === undefined) throw new ApiError('reset_link_invalid')
    const passwordHash = await passwords.hash(password, address)
    await db.transaction().execute(async (trx) => {
      await lockCredentials(trx, accountId)
      if (!(await deleteResetLink(trx, tokenHash))) throw new ApiError('reset_link_invalid')
      await updatePassword(trx, accountId, passwordHash)
      await deleteSessionsOf(trx, accountId)
    })
    onSessionsEnded()
  }

  /** Deletes the links that expired before `now`. */
  async sweep (now: number): Promise<void> {
    await deleteExpiredResetLinks(this.#options.db, now)
  }
}

/**
 * Creates the link of an account, which replaces its previous link. The token follows a `#`, so browsers send it to no
 * server. **Throws** `not_found` for an unknown account.
 */
export async function createResetLink (
  db: Kysely<Database>,
  accountId: string,
  { origin, now }: { origin: string; now: number }
): Promise<ResetLink> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const expiresAt = now + LINK_LIFE_MS
  await db.transaction().execute(async (trx) => {
    if ((await lockCredentials(trx, accountId)) === undefined) throw new ApiError('not_found')
    await replaceResetLink(trx, { account_id: accountId, token_hash: hashOf(token), expires_at: expiresAt })
  })
  return { url: `${origin}/reset#${token}`, expiresAt }
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}
