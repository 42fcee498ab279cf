import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { lockName } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import type { BlobStore } from '../storage/blob-store.js'

const STORE_ID = 'storage.id'

/**
 * Whether this database and this store belong together: both carry the id that was made when both were new. If not (a wrong DATABASE_URL, a
 * folder that was not mounted, a restored backup of one of them), every file would look ownerless, and none may be swept.
 */
export async function bindStore (db: Kysely<Database>, blobs: BlobStore): Promise<boolean> {
  // Files within a transaction, this once: of processes that start together, none may look between the writing of the one id and of the other.
  return await db.transaction().execute(async (trx) => {
    await lockName(trx, STORE_ID)
    const [stored, carried] = [await findStoreId(trx), await blobs.identity(undefined)]
    if (stored !== undefined || carried !== undefined) return stored === carried
    const fresh = randomUUID()
    await trx.insertInto('server_facts').values({ name: STORE_ID, value: fresh }).execute()
    return await blobs.identity(fresh) === fresh
  })
}

async function findStoreId (db: Kysely<Database>): Promise<string | undefined> {
  const row = await db.selectFrom('server_facts').select('value').where('name', '=', STORE_ID).executeTakeFirst()
  return row?.value
}
