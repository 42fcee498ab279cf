import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { lockName } from '../database/dialect.js'
import { findFact, upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import type { BlobStore } from '../storage/blob-store.js'

const STORE_ID = 'storage.id'
const AGE = 'storage.age'

/**
 * How a database and a store stand to one another: `bound`; `unrelated`, which never belonged together (a wrong
 * DATABASE_URL, a folder that was not mounted); or `behind`, a database from before the store's last look: a restored
 * backup, or a replica that lost its last seconds.
 */
export type Binding = 'bound' | 'unrelated' | 'behind'

/**
 * Whether this database and this store belong together: both carry the id that was made when both were new, and the
 * database has seen all the looks that the store has. Where that is not so, files look ownerless that are not, and none
 * may be swept.
 */
export async function bindStore (db: Kysely<Database>, blobs: BlobStore): Promise<Binding> {
  // Files within a transaction, this once: of processes that start together, none may look between the writing of the
  // one id and of the other.
  return await db.transaction().execute(async (trx) => {
    await lockName(trx, STORE_ID)
    const [stored, carried] = [await findFact(trx, STORE_ID), await blobs.identity(undefined)]
    if (stored !== undefined || carried !== undefined) {
      if (stored !== carried) return 'unrelated'
      return Number((await findFact(trx, AGE)) ?? 0) < (await blobs.age()) ? 'behind' : 'bound'
    }
    const fresh = randomUUID()
    await trx.insertInto('server_facts').values({ name: STORE_ID, value: fresh }).execute()
    return (await blobs.identity(fresh)) === fresh ? 'bound' : 'unrelated'
  })
}

/**
 * Records a look for orphaned files, in the database first and in the store after it, and returns how they stand. Both
 * are compared before anything is written: a database that was rolled back under a running server is `behind` at the
 * next look, and so is a second installation on the same folder. A database that is behind raises the store's count, so
 * that no other one sweeps that folder either.
 */
export async function recordLook (db: Kysely<Database>, blobs: BlobStore): Promise<Binding> {
  const looks = await db.transaction().execute(async (trx) => {
    await lockName(trx, AGE)
    if ((await findFact(trx, STORE_ID)) !== (await blobs.identity(undefined))) return 'unrelated' as const
    const [recorded, seen] = [Number((await findFact(trx, AGE)) ?? 0), await blobs.age()]
    if (recorded < seen) {
      await blobs.grow(seen + 1)
      return 'behind' as const
    }
    await upsertFact(trx, AGE, String(recorded + 1))
    return recorded + 1
  })
  if (typeof looks === 'string') return looks
  // Under the lock again: another process may have recorded more looks meanwhile.
  await db.transaction().execute(async (trx) => {
    await lockName(trx, AGE)
    if ((await blobs.age()) < looks) await blobs.grow(looks)
  })
  return 'bound'
}

/** What an operator is told of a binding that is none; nothing is swept then. */
export function bindingFault (binding: Exclude<Binding, 'bound'>): string {
  return binding === 'unrelated'
    ? 'this database and this UPLOAD_DIR do not belong together: nothing is swept. Check DATABASE_URL and ' +
        'UPLOAD_DIR, or see `playgate doctor`'
    : 'this database is older than UPLOAD_DIR, as after a restored backup: files that came since have no row, and ' +
        'nothing is swept. See `playgate doctor`'
}

/** What an operator is told of committed files without a row. */
export function lostRowsFault (files: number): string {
  const subject = files === 1 ? '1 file was acknowledged and has' : `${files} files were acknowledged and have`
  return `${subject} no row: did the database lose its last moments?`
}
