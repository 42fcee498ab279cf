import type { Kysely, Selectable, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { Database, JobsTable } from '../database/tables.js'

/** What a job is to do, and so whose it is. */
export type JobKind = JobsTable['kind']

/** What is to be deleted at Mux: the asset, or what became of an upload. */
export interface MuxRemoval {
  uploadId: string | null
  assetId: string | null
}

/** `failures` since it last got further; `mediaId`, `courseId` and `removal` by its kind. */
export interface Job {
  id: string
  kind: JobKind
  mediaId: string
  courseId: string
  removal: MuxRemoval | null
  failures: number
  createdAt: number
}

/**
 * Queues a media, once: a job that is there already starts again, as another one, so that whoever works on it does not
 * end it.
 */
export async function insertJob (
  trx: Transaction<Database>,
  kind: JobKind,
  mediaId: string,
  now: number
): Promise<void> {
  const ownerId =
    (await trx.selectFrom('media').select('owner_id').where('id', '=', mediaId).executeTakeFirst())?.owner_id ?? null
  const fresh = {
    id: uuidv7(),
    kind,
    owner_id: ownerId,
    turn: await nextTurn(trx, kind, ownerId),
    run_after: now,
    failures: 0,
    created_at: now
  }
  await trx
    .insertInto('jobs')
    .values({ ...fresh, media_id: mediaId, removal: null })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet({ ...fresh, attempts: 0 }))
    .execute()
}

/**
 * The turn of an owner's next job: after the owner's other jobs, and never before the turn that is served now
 * (start-time fair queuing, Goyal, Vin and Cheng, 1996). Two at once may get the same turn, which is harmless.
 */
async function nextTurn (trx: Transaction<Database>, kind: JobKind, ownerId: string | null): Promise<number> {
  const first = await trx
    .selectFrom('jobs')
    .select('turn')
    .where('kind', '=', kind)
    .orderBy('turn')
    .limit(1)
    .executeTakeFirst()
  const own = await trx
    .selectFrom('jobs')
    .select('turn')
    .where('kind', '=', kind)
    .where('owner_id', '=', ownerId)
    .orderBy('turn', 'desc')
    .limit(1)
    .executeTakeFirst()
  return Math.max(first?.turn ?? 0, own === undefined ? 0 : own.turn + 1)
}

/** Queues work on a course. A job that it has already starts again, as {@link insertJob} does it. */
export async function insertCourseJob (
  trx: Transaction<Database>,
  kind: JobKind,
  courseId: string,
  now: number
): Promise<void> {
  const id = uuidv7()
  await trx
    .insertInto('jobs')
    .values({
      id,
      kind,
      media_id: null,
      course_id: courseId,
      removal: null,
      run_after: now,
      failures: 0,
      created_at: now
    })
    .onConflict((conflict) =>
      conflict.column('course_id').doUpdateSet({ id, kind, run_after: now, failures: 0, attempts: 0, created_at: now })
    )
    .execute()
}

/** Queues a deletion at Mux, which outlives the media. */
export async function insertRemoval (trx: Transaction<Database>, removal: MuxRemoval, now: number): Promise<void> {
  await trx
    .insertInto('jobs')
    .values({
      id: uuidv7(),
      kind: 'mux-removal',
      media_id: null,
      removal: JSON.stringify(removal),
      run_after: now,
      failures: 0,
      created_at: now
    })
    .execute()
}

/**
 * Takes a due job of the first kind that has one: of those cut off least often the next turn, so that accounts take
 * turns, and of one turn the longest due. It is put off by a lease, so that nobody else takes it until its process
 * fails to renew the lease.
 */
export async function claimJob (
  db: Kysely<Database>,
  kinds: JobKind[],
  now: number,
  leaseMs: number
): Promise<Job | undefined> {
  for (const kind of kinds) {
    // In the order of the index: the first entry that is due ends the search.
    const due = dueJob(db, kind, now).$if(engineOf(db) === 'postgres', (query) => query.forUpdate().skipLocked())
    // An update would take the lock of SQLite's one writer, even where it finds nothing to change.
    if (engineOf(db) === 'sqlite' && (await due.executeTakeFirst()) === undefined) continue
    const row = await db
      .updateTable('jobs')
      .set({ run_after: now + leaseMs })
      .where('id', '=', due)
      .returningAll()
      .executeTakeFirst()
    if (row !== undefined) return jobOf(row)
  }
  return undefined
}

export function dueJob (db: Kysely<Database>, kind: JobKind, now: number) {
  return db
    .selectFrom('jobs')
    .select('id')
    .where('kind', '=', kind)
    .where('run_after', '<=', now)
    .orderBy('attempts')
    .orderBy('turn')
    .orderBy('run_after')
    .limit(1)
}

/** Puts a job off until a moment: to renew a lease, or to try again later. False if it is gone. */
export async function updateJob (
  db: Kysely<Database>,
  { id, failures }: Pick<Job, 'id' | 'failures'>,
  runAfter: number
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('jobs')
    .set({ run_after: runAfter, failures })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Counts that a job is begun (`1`), or was given back before its end (`-1`). Answers how often it was begun and not
 * ended.
 */
export async function updateAttempts (db: Kysely<Database>, { id }: Pick<Job, 'id'>, by: 1 | -1): Promise<number> {
  const row = await db
    .updateTable('jobs')
    .set((set) => ({ attempts: set('attempts', '+', by) }))
    .where('id', '=', id)
    .returning('attempts')
    .executeTakeFirst()
  return row?.attempts ?? 0
}

/**
 * Makes jobs of some kinds due now that were cut off at most `maxAttempts` times: what ran when the only process of a
 * server died.
 */
export async function updateAllJobs (
  db: Kysely<Database>,
  kinds: JobKind[],
  now: number,
  maxAttempts: number
): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ run_after: now })
    .where('kind', 'in', kinds)
    .where('run_after', '>', now)
    .where('attempts', '<=', maxAttempts)
    .execute()
}

export async function deleteJob (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('media_id', '=', mediaId).execute()
}

/** Deletes a job that is done. */
export async function deleteJobById (db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('jobs').where('id', '=', id).execute()
}

function jobOf (row: Selectable<JobsTable>): Job {
  return {
    id: row.id,
    kind: row.kind,
    mediaId: row.media_id ?? '',
    courseId: row.course_id ?? '',
    removal: row.removal === null ? null : (JSON.parse(row.removal) as MuxRemoval),
    failures: row.failures,
    createdAt: row.created_at
  }
}
