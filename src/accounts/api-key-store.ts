import type { Kysely, Selectable, Transaction } from 'kysely'
import { nonDurableTransaction } from '../database/dialect.js'
import type { ApiKeysTable, Database } from '../database/tables.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import type { ApiKey } from './api-key-schema.js'
import type { Scope } from './scopes.js'

export async function insertApiKey (trx: Transaction<Database>, key: ApiKey, keyHash: string): Promise<void> {
  await trx
    .insertInto('api_keys')
    .values({
      id: key.id,
      account_id: key.accountId,
      name: key.name,
      key_hash: keyHash,
      scopes: key.scopes.join(' '),
      addresses: key.addresses.join(' '),
      created_at: key.createdAt,
      expires_at: key.expiresAt,
      last_used_at: null
    })
    .execute()
}

export async function findApiKeyByHash (db: Kysely<Database>, keyHash: string): Promise<ApiKey | undefined> {
  const row = await db.selectFrom('api_keys').selectAll().where('key_hash', '=', keyHash).executeTakeFirst()
  return row && apiKeyOf(row)
}

/** Returns the number of keys of an account, expired keys included. */
export async function countApiKeys (db: Kysely<Database>, accountId: string): Promise<number> {
  const { count } = await db
    .selectFrom('api_keys')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Returns a page of the keys of an account, newest first, and their number. */
export async function listApiKeys (
  db: Kysely<Database>,
  accountId: string,
  page: PageQuery
): Promise<{ items: ApiKey[]; total: number }> {
  const rows = await db
    .selectFrom('api_keys')
    .selectAll()
    .where('account_id', '=', accountId)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(page.size)
    .offset(offsetOf(page))
    .execute()
  return { items: rows.map(apiKeyOf), total: await countApiKeys(db, accountId) }
}

/** Renames a key of `ownerId`, or of any account without `ownerId`. Returns undefined if there is no such key. */
export async function renameApiKey (
  db: Kysely<Database>,
  id: string,
  name: string,
  ownerId: string | undefined
): Promise<ApiKey | undefined> {
  const row = await db
    .updateTable('api_keys')
    .set({ name })
    .where('id', '=', id)
    .$if(ownerId !== undefined, (query) => query.where('account_id', '=', ownerId!))
    .returningAll()
    .executeTakeFirst()
  return row && apiKeyOf(row)
}

/** Deletes a key of `ownerId`, or of any account without `ownerId`. Returns its hash; undefined if there was none. */
export async function deleteApiKey (
  db: Kysely<Database>,
  id: string,
  ownerId: string | undefined
): Promise<string | undefined> {
  const row = await db
    .deleteFrom('api_keys')
    .where('id', '=', id)
    .$if(ownerId !== undefined, (query) => query.where('account_id', '=', ownerId!))
    .returning('key_hash')
    .executeTakeFirst()
  return row?.key_hash
}

/** Stores the time of a use, unless another process has stored a time after `notedBefore`. Not durable at once. */
export async function noteUse (db: Kysely<Database>, id: string, now: number, notedBefore: number): Promise<void> {
  await nonDurableTransaction(db, async (trx) => {
    await trx
      .updateTable('api_keys')
      .set({ last_used_at: now })
      .where('id', '=', id)
      .where((eb) => eb.or([eb('last_used_at', 'is', null), eb('last_used_at', '<=', notedBefore)]))
      .execute()
  })
}

function apiKeyOf (row: Selectable<ApiKeysTable>): ApiKey {
  return {
    id: row.id,
    accountId: row.account_id,
    name: row.name,
    scopes: row.scopes.split(' ') as Scope[],
    addresses: row.addresses === '' ? [] : row.addresses.split(' '),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at
  }
}
