import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { Database } from '../database/tables.js'

export interface Job { id: string, mediaId: string, failures: number }

/** Queues a media, once: a job that is there already starts anew. */
export async function insertJob (trx: Transaction<Database>, mediaId: string, now: number): Promise<void> {
  await trx.insertInto('jobs').values({ id: uuidv7(), media_id: mediaId, run_after: now, failures: 0, created_at: now })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet({ run_after: now, failures: 0, attempts: 0 })).execute()
}

/** Takes the longest due job, first of those that were cut off least often, and puts it off by a lease, so that nobody else takes it until its process fails to renew. */
export async function claimJob (db: Kysely<Database>, now: number, leaseMs: number): Promise<Job | undefined> {
  const due = db.selectFrom('jobs').select('id').where('run_after', '<=', now).orderBy('attempts').orderBy('run_after').limit(1)
    .$if(engineOf(db) === 'postgres', (query) => query.forUpdate().skipLocked())
  const row = await db.updateTable('jobs').set({ run_after: now + leaseMs }).where('id', '=', due).returningAll().executeTakeFirst()
  return row && { id: row.id, mediaId: row.media_id, failures: row.failures }
}

/** Puts a job off until a moment: to renew a lease, or to try again later. False if it is gone. */
export async function updateJob (db: Kysely<Database>, { id, failures }: Job, runAfter: number): Promise<boolean> {
  const { numUpdatedRows } = await db.updateTable('jobs').set({ run_after: runAfter, failures }).where('id', '=', id).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Counts that a job is begun (`1`), or was given back before its end (`-1`). Answers how often it was begun and not ended. */
export async function updateAttempts (db: Kysely<Database>, { id }: Job, by: 1 | -1): Promise<number> {
  const row = await db.updateTable('jobs').set((set) => ({ attempts: set('attempts', '+', by) })).where('id', '=', id).returning('attempts').executeTakeFirst()
  return row?.attempts ?? 0
}

/** Makes jobs due now that were cut off at most `maxAttempts` times: what ran when the only process of a server died. */
export async function updateAllJobs (db: Kysely<Database>, now: number, maxAttempts: number): Promise<void> {
  await db.updateTable('jobs').set({ run_after: now }).where('run_after', '>', now).where('attempts', '<=', maxAttempts).execute()
}

export async function deleteJob (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('media_id', '=', mediaId).execute()
}
