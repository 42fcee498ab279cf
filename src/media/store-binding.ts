import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import type { Database } from '../database/tables.js'
import type { BlobStore } from '../storage/blob-store.js'

const STORE_ID = 'storage.id'

/**
 * Whether this database and this store belong together: both carry the id that was made when both were new. If not (a wrong DATABASE_URL, a
 * folder that was not mounted, a restored backup of one of them), every file would look ownerless, and none may be swept.
 */
export async function bindStore (db: Kysely<Database>, blobs: BlobStore): Promise<boolean> {
  const stored = await findStoreId(db)
  if (stored !== undefined) return await blobs.identity(undefined) === stored
  if (await blobs.identity(undefined) !== undefined) return false
  await db.insertInto('server_facts').values({ name: STORE_ID, value: randomUUID() }).onConflict((conflict) => conflict.doNothing()).execute()
  // Another process may have been first with either; what stands in the database counts.
  const id = await findStoreId(db)
  return await blobs.identity(id) === id
}

async function findStoreId (db: Kysely<Database>): Promise<string | undefined> {
  const row = await db.selectFrom('server_facts').select('value').where('name', '=', STORE_ID).executeTakeFirst()
  return row?.value
}
