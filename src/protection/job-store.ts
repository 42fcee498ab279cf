import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { Database } from '../database/tables.js'

export interface Job { id: string, mediaId: string, failures: number }

/** Queues a media, once: a job that is there already starts anew. */
export async function insertJob (trx: Transaction<Database>, mediaId: string, now: number): Promise<void> {
  await trx.insertInto('jobs').values({ id: uuidv7(), media_id: mediaId, run_after: now, failures: 0, created_at: now })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet({ run_after: now, failures: 0 })).execute()
}

/** Takes the longest due job and puts it off by a lease, so that nobody else takes it until its process fails to renew. */
export async function claimJob (db: Kysely<Database>, now: number, leaseMs: number): Promise<Job | undefined> {
  const due = db.selectFrom('jobs').select('id').where('run_after', '<=', now).orderBy('run_after').limit(1)
    .$if(engineOf(db) === 'postgres', (query) => query.forUpdate().skipLocked())
  const row = await db.updateTable('jobs').set({ run_after: now + leaseMs }).where('id', '=', due).returningAll().executeTakeFirst()
  return row && { id: row.id, mediaId: row.media_id, failures: row.failures }
}

/** Puts a job off until a moment: to renew a lease, or to try again later. False if it is gone. */
export async function updateJob (db: Kysely<Database>, { id, failures }: Job, runAfter: number): Promise<boolean> {
  const { numUpdatedRows } = await db.updateTable('jobs').set({ run_after: runAfter, failures }).where('id', '=', id).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Makes all jobs due now: what ran when the only process of a server died. */
export async function updateAllJobs (db: Kysely<Database>, now: number): Promise<void> {
  await db.updateTable('jobs').set({ run_after: now }).where('run_after', '>', now).execute()
}

export async function deleteJob (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('media_id', '=', mediaId).execute()
}
