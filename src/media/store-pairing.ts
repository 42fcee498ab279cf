import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { advisoryLock } from '../database/dialect.js'
import { findFact, upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import type { BlobStore } from '../storage/blob-store.js'

const STORE_ID = 'storage.id'
const SWEEP_COUNT = 'storage.age'

/**
 * The relation of a database and a store.
 *
 * - `paired`: they belong together.
 * - `unrelated`: they never belonged together (a wrong DATABASE_URL, or a folder that is not mounted).
 * - `behind`: the database is older than the store's last scan (a restored backup, or a replica that lost seconds).
 */
export type StorePairing = 'paired' | 'unrelated' | 'behind'

/**
 * Checks whether this database and this store belong together. Both contain an id that was created when both were new.
 * The database must also have recorded all scans that the store has recorded. Otherwise no file may be swept, because
 * files with an owner may look orphaned.
 */
export async function checkStorePairing (db: Kysely<Database>, blobs: BlobStore): Promise<StorePairing> {
  // The transaction includes the access to files. Another process that starts now must not read between the writes of
  // the two ids.
  return await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, STORE_ID)
    const [stored, carried] = [await findFact(trx, STORE_ID), await blobs.identity(undefined)]
    if (stored !== undefined || carried !== undefined) {
      if (stored !== carried) return 'unrelated'
      return Number((await findFact(trx, SWEEP_COUNT)) ?? 0) < (await blobs.sweepCount()) ? 'behind' : 'paired'
    }
    const fresh = randomUUID()
    await trx.insertInto('server_facts').values({ name: STORE_ID, value: fresh }).execute()
    return (await blobs.identity(fresh)) === fresh ? 'paired' : 'unrelated'
  })
}

/**
 * Records a scan for orphaned files, first in the database and then in the store. Compares both before it writes, and
 * returns their relation. If the database was rolled back under a running server, it is `behind` at the next scan. The
 * same is true of a second installation on the same folder. A database that is behind raises the store's count, so that
 * the other installation does not sweep the folder either.
 */
export async function recordSweep (db: Kysely<Database>, blobs: BlobStore): Promise<StorePairing> {
  const sweeps = await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, SWEEP_COUNT)
    if ((await findFact(trx, STORE_ID)) !== (await blobs.identity(undefined))) return 'unrelated' as const
    const [storedCount, carriedCount] = [Number((await findFact(trx, SWEEP_COUNT)) ?? 0), await blobs.sweepCount()]
    if (storedCount < carriedCount) {
      await blobs.setSweepCount(carriedCount + 1)
      return 'behind' as const
    }
    await upsertFact(trx, SWEEP_COUNT, String(storedCount + 1))
    return storedCount + 1
  })
  if (typeof sweeps === 'string') return sweeps
  // The count is compared under the lock, because another process may have recorded more scans meanwhile.
  await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, SWEEP_COUNT)
    if ((await blobs.sweepCount()) < sweeps) await blobs.setSweepCount(sweeps)
  })
  return 'paired'
}

/**
 * Returns the message for operators about a database and a store that do not belong together. Nothing is swept then.
 */
export function pairingFault (pairing: Exclude<StorePairing, 'paired'>): string {
  return pairing === 'unrelated'
    ? 'sweep disabled: this database and this folder do not belong together; run "playgate doctor", or check ' +
        'DATABASE_URL and UPLOAD_DIR'
    : 'sweep disabled: this database is older than UPLOAD_DIR, as after a restored backup, so newer files have no ' +
        'row; run "playgate doctor"'
}

/** Returns the message for operators about committed files without a row. */
export function lostRowsFault (files: number): string {
  const subject = files === 1 ? '1 file was acknowledged and has' : `${files} files were acknowledged and have`
  return `${subject} no row: the database lost its last commits`
}
