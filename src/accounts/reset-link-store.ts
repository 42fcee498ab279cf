import type { Kysely, Transaction } from 'kysely'
import type { Database, ResetLinksTable } from '../database/tables.js'

/** Inserts the link of an account. It replaces the previous link of the account. */
export async function replaceResetLink (trx: Transaction<Database>, link: ResetLinksTable): Promise<void> {
  const { token_hash: tokenHash, expires_at: expiresAt } = link
  await trx
    .insertInto('reset_links')
    .values(link)
    .onConflict((conflict) =>
      conflict.column('account_id').doUpdateSet({ token_hash: tokenHash, expires_at: expiresAt })
    )
    .execute()
}

/** Returns the account of a link that has not expired; undefined for an unknown, used or expired link. */
export async function findResetAccount (
  db: Kysely<Database>,
  tokenHash: string,
  now: number
): Promise<string | undefined> {
  const row = await db
    .selectFrom('reset_links')
    .select('account_id')
    .where('token_hash', '=', tokenHash)
    .where('expires_at', '>', now)
    .executeTakeFirst()
  return row?.account_id
}

/** Deletes a link. Returns false if it was used or replaced before. */
export async function deleteResetLink (trx: Transaction<Database>, tokenHash: string): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom('reset_links')
    .where('token_hash', '=', tokenHash)
    .executeTakeFirstOrThrow()
  return numDeletedRows > 0n
}

export async function deleteExpiredResetLinks (db: Kysely<Database>, now: number): Promise<void> {
  await db.deleteFrom('reset_links').where('expires_at', '<=', now).execute()
}
