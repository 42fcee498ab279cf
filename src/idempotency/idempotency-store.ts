import type { Kysely, Selectable } from 'kysely'
import type { IdempotencyKeysTable } from '../database/idempotency-tables.js'
import type { Database } from '../database/tables.js'

/** An `Idempotency-Key` of an account. */
export interface KeyName {
  accountId: string
  key: string
}

/** The state of a key. `parts` and `answer` are encrypted. */
export interface KeyRow {
  holder: string
  leaseUntil: number
  fingerprint: string | null
  parts: string | null
  answer: string | null
  createdAt: number
}

export async function findKey (db: Kysely<Database>, { accountId, key }: KeyName): Promise<KeyRow | undefined> {
  const row = await db
    .selectFrom('idempotency_keys')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .executeTakeFirst()
  return row && keyOf(row)
}

/** Inserts an unused key. Returns false if the key exists. */
export async function insertKey (
  db: Kysely<Database>,
  { accountId, key }: KeyName,
  { holder, leaseUntil, createdAt }: Pick<KeyRow, 'holder' | 'leaseUntil' | 'createdAt'>
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('idempotency_keys')
    .values({
      account_id: accountId,
      key,
      holder,
      lease_until: leaseUntil,
      fingerprint: null,
      parts: null,
      answer: null,
      created_at: createdAt
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return (numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Changes a key that `holder` holds and that has no answer yet. Returns false if another attempt took it over. */
export async function updateHeldKey (
  db: Kysely<Database>,
  { accountId, key }: KeyName,
  holder: string,
  { leaseUntil, ...change }: Partial<Pick<KeyRow, 'holder' | 'leaseUntil' | 'fingerprint' | 'parts' | 'answer'>>
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('idempotency_keys')
    .set({ ...change, ...(leaseUntil !== undefined && { lease_until: leaseUntil }) })
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .where('holder', '=', holder)
    .where('answer', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Deletes a key that `holder` holds, unless a part of its request or the whole request is done. */
export async function deleteHeldKey (
  db: Kysely<Database>,
  { accountId, key }: KeyName,
  holder: string
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('idempotency_keys')
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .where('holder', '=', holder)
    .where('answer', 'is', null)
    .where('parts', 'is', null)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Deletes at most `limit` keys that were created before a time. Returns their number. */
export async function deleteOldKeys (db: Kysely<Database>, before: number, limit: number): Promise<number> {
  const old = db
    .selectFrom('idempotency_keys')
    .select(['account_id', 'key'])
    .where('created_at', '<', before)
    .orderBy('created_at')
    .limit(limit)
  const { numDeletedRows } = await db
    .deleteFrom('idempotency_keys')
    .where(({ eb, refTuple }) => eb(refTuple('account_id', 'key'), 'in', old.$asTuple('account_id', 'key')))
    .executeTakeFirst()
  return Number(numDeletedRows)
}

/** Deletes one key of an account if it was created before a time. */
export async function deleteOldKey (
  db: Kysely<Database>,
  { accountId, key }: KeyName,
  before: number
): Promise<void> {
  await db
    .deleteFrom('idempotency_keys')
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .where('created_at', '<', before)
    .execute()
}

function keyOf (row: Selectable<IdempotencyKeysTable>): KeyRow {
  return {
    holder: row.holder,
    leaseUntil: row.lease_until,
    fingerprint: row.fingerprint,
    parts: row.parts,
    answer: row.answer,
    createdAt: row.created_at
  }
}
