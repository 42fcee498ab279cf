import type { Kysely, Selectable, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { Database, JobsTable } from '../database/tables.js'
import { MINUTE } from '../time.js'
import type { CourseJobKind, Job, JobKind, MediaJobKind, MuxRemoval } from './job.js'

/** Longer than each lease, retry delay and polling interval: the longest is 15 minutes. */
const MAX_DELAY_MS = 60 * MINUTE

/**
 * Queues work on a media. A job that the media has already is replaced by one with another id, so that the worker of
 * the old job does not end the new one.
 */
export async function insertJob (
  trx: Transaction<Database>,
  kind: MediaJobKind,
  mediaId: string,
  now: number
): Promise<void> {
  const media = await trx.selectFrom('media').select('owner_id').where('id', '=', mediaId).executeTakeFirst()
  const ownerId = media?.owner_id ?? null
  const job = { ...newJob(now), kind, owner_id: ownerId, turn: await nextTurn(trx, kind, ownerId) }
  await trx
    .insertInto('jobs')
    .values({ ...job, media_id: mediaId, removal: null })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet(job))
    .execute()
}

/**
 * The turn of an owner's next job: after the owner's other jobs, and never before the turn that is served now
 * (start-time fair queuing, Goyal, Vin and Cheng, 1996). Two at once may get the same turn, which is harmless.
 */
async function nextTurn (trx: Transaction<Database>, kind: JobKind, ownerId: string | null): Promise<number> {
  const turns = trx.selectFrom('jobs').select('turn').where('kind', '=', kind).limit(1)
  const first = await turns.orderBy('turn').executeTakeFirst()
  const own = await turns.where('owner_id', '=', ownerId).orderBy('turn', 'desc').executeTakeFirst()
  return Math.max(first?.turn ?? 0, own === undefined ? 0 : own.turn + 1)
}

/** Queues work on a course. A job that the course has already is replaced, as {@link insertJob} does it. */
export async function insertCourseJob (
  trx: Transaction<Database>,
  kind: CourseJobKind,
  courseId: string,
  now: number
): Promise<void> {
  const job = { ...newJob(now), kind }
  await trx
    .insertInto('jobs')
    .values({ ...job, media_id: null, course_id: courseId, removal: null })
    .onConflict((conflict) => conflict.column('course_id').doUpdateSet(job))
    .execute()
}

/** Queues a deletion at Mux, which outlives the media. */
export async function insertRemoval (trx: Transaction<Database>, removal: MuxRemoval, now: number): Promise<void> {
  await trx
    .insertInto('jobs')
    .values({ ...newJob(now), kind: 'mux-removal', media_id: null, removal: JSON.stringify(removal) })
    .execute()
}

function newJob (now: number) {
  return { id: uuidv7(), run_after: now, failures: 0, attempts: 0, created_at: now }
}

/**
 * Claims a due job of the first kind that has one, and counts the attempt. Of the due jobs of a kind it takes one with
 * the fewest attempts, of these the one whose turn is next (so accounts take turns), then the longest due. The lease
 * puts the job off: no other worker claims it until the lease ends without a renewal.
 */
export async function claimJob<Kind extends JobKind> (
  db: Kysely<Database>,
  kinds: Kind[],
  now: number,
  leaseMs: number
): Promise<Job<Kind> | undefined> {
  for (const kind of kinds) {
    // In the order of the index: the first entry that is due ends the search.
    const due = dueJob(db, kind, now).$if(engineOf(db) === 'postgres', (query) => query.forUpdate().skipLocked())
    // An update would take the lock of SQLite's one writer, even where it finds nothing to change.
    if (engineOf(db) === 'sqlite' && (await due.executeTakeFirst()) === undefined) continue
    const row = await db
      .updateTable('jobs')
      .set((set) => ({ run_after: now + leaseMs, attempts: set('attempts', '+', 1) }))
      .where('id', '=', due)
      .returningAll()
      .executeTakeFirst()
    // The query selects jobs of this kind only.
    if (row !== undefined) return jobOf(row) as Job<Kind>
  }
  return undefined
}

/**
 * Selects a due job. A job that is put off for longer than any delay was written while the clock was ahead: it is due
 * as well.
 */
export function dueJob (db: Kysely<Database>, kind: JobKind, now: number) {
  return db
    .selectFrom('jobs')
    .select('id')
    .where('kind', '=', kind)
    .where(({ eb, or }) => or([eb('run_after', '<=', now), eb('run_after', '>', now + MAX_DELAY_MS)]))
    .orderBy('attempts')
    .orderBy('turn')
    .orderBy('run_after')
    .limit(1)
}

/** Renews a lease, or gives a job back with its counts. Returns false if the job was deleted or replaced. */
export async function updateJob (
  db: Kysely<Database>,
  id: string,
  change: { runAfter: number; failures?: number; attempts?: number }
): Promise<boolean> {
  const { runAfter, ...counts } = change
  const { numUpdatedRows } = await db
    .updateTable('jobs')
    .set({ run_after: runAfter, ...counts })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Makes all jobs of some kinds due now, except those with more than `maxAttempts`. */
export async function updateAllJobs (
  db: Kysely<Database>,
  kinds: JobKind[],
  now: number,
  maxAttempts: number | undefined
): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ run_after: now })
    .where('kind', 'in', kinds)
    .where('run_after', '>', now)
    .$if(maxAttempts !== undefined, (query) => query.where('attempts', '<=', maxAttempts!))
    .execute()
}

/** Deletes the job of a media, whatever its kind. */
export async function deleteJobOfMedia (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('media_id', '=', mediaId).execute()
}

export async function deleteJob (db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('jobs').where('id', '=', id).execute()
}

/** **Throws** for a row without the subject of its kind: no insert of this file makes one. */
function jobOf (row: Selectable<JobsTable>): Job {
  const { id, kind, failures, attempts } = row
  const state = { id, failures, attempts, createdAt: row.created_at }
  switch (kind) {
    case 'package':
    case 'mux-ingest':
    case 'delete-media':
      return { ...state, kind, mediaId: subjectOf(row, row.media_id) }
    case 'delete-course':
    case 'tally-course':
      return { ...state, kind, courseId: subjectOf(row, row.course_id) }
    case 'mux-removal':
      return { ...state, kind, removal: JSON.parse(subjectOf(row, row.removal)) as MuxRemoval }
  }
}

function subjectOf ({ id, kind }: Selectable<JobsTable>, subject: string | null): string {
  if (subject === null) throw new Error(`job ${id} of kind ${kind} names nothing to work on`)
  return subject
}
