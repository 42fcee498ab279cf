import type { Kysely, Transaction } from 'kysely'
import { engineOf } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { MINUTE } from '../time.js'
import type { Account, Viewer } from './schema.js'

/** Clocks of servers that share a database differ by less. */
const MAX_CLOCK_SKEW_MS = MINUTE

// Rows are locked in one order everywhere: account, session, tokens.

/** How a refresh token is known: by itself, and by its family, which all tokens of its session share. */
export interface TokenHashes {
  tokenHash: string
  familyHash: string | null
}

/** A session with its first refresh token, and when each of them ends. */
export interface NewSession extends TokenHashes {
  id: string
  accountId: string
  createdAt: number
  tokenExpiresAt: number
  expiresAt: number
}

/**
 * What became of a refresh token that was shown: exchanged, for the account it is of; `reused`, and so its session is
 * gone; or of no use.
 */
export type Rotation =
  | { outcome: 'rotated'; sessionId: string; viewer: Viewer }
  | { outcome: 'reused'; sessionId: string }
  | { outcome: 'unknown' }

/**
 * Begins a session of an account whose password was just checked: false if the account was disabled or given another
 * password since. The account keeps this session and its newest others, `max` in all. Sessions from the future were
 * created by a wrong clock: they count as the oldest.
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
 * Exchanges a refresh token for another of its family. One that was exchanged before ends its session: its thief and
 * its owner can't be told apart (RFC 9700, 4.14.2). A session keeps one row, however often it is refreshed.
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
    // Read again beneath the lock: of parallel ones the first is through now.
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

/** Id and role of the account of a session that lives; undefined when the session ended or the account may not act. */
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

/** The session of a refresh token, exchanged or not. */
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

/** Ends all sessions of an account but one. Its row must be locked, so that no login slips by. */
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

/** Removes some of what has ended, at most `max` of each kind; true if there may be more. */
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

/** Returns when the newest session was created, in epoch milliseconds; undefined without sessions. */
export async function findNewestSession (db: Kysely<Database>): Promise<number | undefined> {
  const { newest } = await db
    .selectFrom('sessions')
    .select(({ fn }) => fn.max('created_at').as('newest'))
    .executeTakeFirstOrThrow()
  return newest === null ? undefined : Number(newest)
}
