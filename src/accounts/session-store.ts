import type { Kysely, Transaction } from 'kysely'
import { engineOf } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { MINUTE } from '../time.js'
import type { Account, Viewer } from './schema.js'

/** The largest assumed difference between the clocks of servers that share a database. */
const MAX_CLOCK_SKEW_MS = MINUTE

// All functions lock rows in the same order: account, session, tokens.

/**
 * The hashes that identify a refresh token: its own, and the hash of its family. All tokens of a session share a
 * family.
 */
export interface TokenHashes {
  tokenHash: string
  familyHash: string | null
}

/** A session with its first refresh token, and the times at which they expire. */
export interface NewSession extends TokenHashes {
  id: string
  accountId: string
  createdAt: number
  tokenExpiresAt: number
  expiresAt: number
}

/**
 * The result of presenting a refresh token. `rotated`: it was exchanged, for `viewer`. `reused`: it had been exchanged
 * before, so its session was deleted. `unknown`: it is not valid.
 */
export type Rotation =
  | { outcome: 'rotated'; sessionId: string; viewer: Viewer }
  | { outcome: 'reused'; sessionId: string }
  | { outcome: 'unknown' }

/**
 * Starts a session of an account whose password was just checked. Returns false if the account was disabled or its
 * password changed after that check. The account keeps its newest sessions, `max` in total with the new session.
 * Sessions with a future creation time are due to a wrong clock, so they count as the oldest.
 */
export async function insertSession (
  trx: Transaction<Database>,
  session: NewSession,
  passwordHash: string,
  max: number
): Promise<boolean> {
  const account = await trx
    .selectFrom('accounts')
    .select(['password_hash', 'disabled'])
    .where('id', '=', session.accountId)
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .executeTakeFirst()
  if (account === undefined || account.disabled === 1 || account.password_hash !== passwordHash) return false
  await trx
    .insertInto('sessions')
    .values({
      id: session.id,
      account_id: session.accountId,
      created_at: session.createdAt,
      expires_at: session.expiresAt
    })
    .execute()
  await trx
    .insertInto('refresh_tokens')
    .values({
      token_hash: session.tokenHash,
      family_hash: session.familyHash,
      session_id: session.id,
      rotated: 0,
      expires_at: session.tokenExpiresAt
    })
    .execute()
  const oldest = trx
    .selectFrom('sessions')
    .select('id')
    .where('account_id', '=', session.accountId)
    .where('id', '<>', session.id)
    .orderBy((eb) => eb('created_at', '>', session.createdAt + MAX_CLOCK_SKEW_MS))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(max)
    .offset(max - 1)
  await trx.deleteFrom('sessions').where('id', 'in', oldest).execute()
  return true
}

/**
 * Exchanges a refresh token for the next token of its family. A token that was exchanged before ends its session,
 * because the server cannot distinguish a thief from the owner (RFC 9700, section 4.14.2). A session keeps one row.
 */
export async function rotateToken (
  db: Kysely<Database>,
  shown: TokenHashes,
  fresh: TokenHashes & { tokenExpiresAt: number; expiresAt: number },
  now: number
): Promise<Rotation> {
  const { tokenHash } = shown
  return await db.transaction().execute(async (trx): Promise<Rotation> => {
    const sessionId = await findSessionOfToken(trx, shown)
    if (sessionId === undefined) return { outcome: 'unknown' }
    const session = await trx
      .selectFrom('sessions')
      .select('id')
      .where('id', '=', sessionId)
      .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
      .executeTakeFirst()
    // Read under the lock: a parallel exchange that held the lock has committed by now.
    const token = await trx
      .selectFrom('refresh_tokens')
      .select(['rotated', 'expires_at', 'family_hash'])
      .where('token_hash', '=', tokenHash)
      .executeTakeFirst()
    if (session === undefined || (token !== undefined && token.expires_at <= now)) return { outcome: 'unknown' }
    if (token === undefined || token.rotated === 1) {
      await trx.deleteFrom('sessions').where('id', '=', sessionId).execute()
      return { outcome: 'reused', sessionId }
    }
    const viewer = await findSessionViewer(trx, sessionId, now)
    if (viewer === undefined) return { outcome: 'unknown' }
    if (token.family_hash === null) {
      await trx.updateTable('refresh_tokens').set({ rotated: 1 }).where('token_hash', '=', tokenHash).execute()
    } else await trx.deleteFrom('refresh_tokens').where('token_hash', '=', tokenHash).execute()
    await trx
      .insertInto('refresh_tokens')
      .values({
        token_hash: fresh.tokenHash,
        family_hash: fresh.familyHash,
        session_id: sessionId,
        rotated: 0,
        expires_at: fresh.tokenExpiresAt
      })
      .execute()
    await trx.updateTable('sessions').set({ expires_at: fresh.expiresAt }).where('id', '=', sessionId).execute()
    return { outcome: 'rotated', sessionId, viewer }
  })
}

/** Returns id and role of the account of a session; undefined if the session has ended or the account is disabled. */
export async function findSessionViewer (
  db: Kysely<Database>,
  sessionId: string,
  now: number
): Promise<Viewer | undefined> {
  return await db
    .selectFrom('sessions')
    .innerJoin('accounts', 'accounts.id', 'sessions.account_id')
    .select(['accounts.id', 'accounts.role'])
    .where('sessions.id', '=', sessionId)
    .where('sessions.expires_at', '>', now)
    .where('accounts.disabled', '=', 0)
    .executeTakeFirst()
}

/** Returns the session of a refresh token, whether the token was exchanged or not. */
export async function findSessionOfToken (
  db: Kysely<Database>,
  { tokenHash, familyHash }: TokenHashes
): Promise<string | undefined> {
  const known = db.selectFrom('refresh_tokens').select('session_id')
  const row =
    (await known.where('token_hash', '=', tokenHash).executeTakeFirst()) ??
    (familyHash === null ? undefined : await known.where('family_hash', '=', familyHash).executeTakeFirst())
  return row?.session_id
}

export async function deleteSession (db: Kysely<Database>, sessionId: string): Promise<void> {
  await db.deleteFrom('sessions').where('id', '=', sessionId).execute()
}

/**
 * Ends all sessions of an account except `exceptId`. The caller must have locked the account's row, so that no parallel
 * login adds a session.
 */
export async function deleteSessionsOf (
  trx: Transaction<Database>,
  accountId: Account['id'],
  exceptId?: string
): Promise<void> {
  await trx
    .deleteFrom('sessions')
    .where('account_id', '=', accountId)
    .$if(exceptId !== undefined, (query) => query.where('id', '<>', exceptId!))
    .execute()
}

/** Deletes expired sessions and refresh tokens, at most `max` of each. Returns true if more may be left. */
export async function deleteEnded (db: Kysely<Database>, now: number, max: number): Promise<boolean> {
  const sessions = await db
    .deleteFrom('sessions')
    .where('id', 'in', db.selectFrom('sessions').select('id').where('expires_at', '<=', now).limit(max))
    .executeTakeFirst()
  const tokens = await db
    .deleteFrom('refresh_tokens')
    .where(
      'token_hash',
      'in',
      db.selectFrom('refresh_tokens').select('token_hash').where('expires_at', '<=', now).limit(max)
    )
    .executeTakeFirst()
  return Number(sessions.numDeletedRows) === max || Number(tokens.numDeletedRows) === max
}

/** Returns the creation time of the newest session in epoch milliseconds; undefined without sessions. */
export async function findNewestSession (db: Kysely<Database>): Promise<number | undefined> {
  const { newest } = await db
    .selectFrom('sessions')
    .select(({ fn }) => fn.max('created_at').as('newest'))
    .executeTakeFirstOrThrow()
  return newest === null ? undefined : Number(newest)
}
