import type { Kysely, Selectable, Transaction } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { Database, JobsTable } from '../database/tables.js'
import { MINUTE } from '../time.js'
import type { CourseJobKind, Job, JobKind, MediaJobKind, MuxRemoval } from './job.js'

/** Longer than each lease, retry delay and polling interval. The longest of them is 15 minutes. */
const MAX_DELAY_MS = 60 * MINUTE
/** The installation has one job of this kind, so it has always the same id. */
const DESCRIPTION_JOB_ID = '00000000-0000-7000-8000-000000000017'

/**
 * Queues work on a media, and replaces its existing job. The new job has another id, so that the worker of the old job
 * cannot end the new job.
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
 * Returns the turn of an owner's next job: after the owner's other jobs, but not before the current turn (start-time
 * fair queuing, Goyal, Vin and Cheng, 1996). Parallel calls may return the same turn, which is harmless.
 */
async function nextTurn (trx: Transaction<Database>, kind: JobKind, ownerId: string | null): Promise<number> {
  const turns = trx.selectFrom('jobs').select('turn').where('kind', '=', kind).limit(1)
  const first = await turns.orderBy('turn').executeTakeFirst()
  const own = await turns.where('owner_id', '=', ownerId).orderBy('turn', 'desc').executeTakeFirst()
  return Math.max(first?.turn ?? 0, own === undefined ? 0 : own.turn + 1)
}

/**
 * Queues the rendition of a media, and replaces its existing job like {@link insertJob}. The job stands beside the job
 * that packages the media.
 */
export async function insertRenditionJob (
  trx: Transaction<Database>,
  { id, ownerId }: { id: string; ownerId: string },
  now: number
): Promise<void> {
  const kind = 'rendition'
  const job = { ...newJob(now), kind, owner_id: ownerId, turn: await nextTurn(trx, kind, ownerId) } as const
  await trx
    .insertInto('jobs')
    .values({ ...job, media_id: null, rendition_of: id, removal: null })
    .onConflict((conflict) => conflict.column('rendition_of').doUpdateSet(job))
    .execute()
}

/** Queues work on a course, and replaces its existing job like {@link insertJob}. */
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

/** Queues the description of all files that have none. Does nothing if that job exists. */
export async function insertDescriptionJob (db: Kysely<Database>, now: number): Promise<void> {
  await db
    .insertInto('jobs')
    .values({ ...newJob(now), id: DESCRIPTION_JOB_ID, kind: 'describe-files', media_id: null, removal: null })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute()
}

/** Queues a deletion at Mux. The job outlives the media. */
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
 * Claims a due job of the first kind that has one, and counts the attempt. The order is: fewest attempts, next turn (so
 * that accounts take turns), earliest due time. No other worker claims the job before the lease ends.
 */
export async function claimJob<Kind extends JobKind> (
  db: Kysely<Database>,
  kinds: Kind[],
  now: number,
  leaseMs: number
): Promise<Job<Kind> | undefined> {
  for (const kind of kinds) {
    // The query follows the order of the index, so the scan stops at the first due entry.
    const due = dueJob(db, kind, now).$if(engineOf(db) === 'postgres', (query) => query.forUpdate().skipLocked())
    // On SQLite, an update takes the write lock even if it changes no row. So this query checks first.
    if (engineOf(db) === 'sqlite' && (await due.executeTakeFirst()) === undefined) continue
    const row = await db
      .updateTable('jobs')
      .set((set) => ({ run_after: now + leaseMs, attempts: set('attempts', '+', 1) }))
      .where('id', '=', due)
      .returningAll()
      .executeTakeFirst()
    // The query selects only jobs of this kind.
    if (row !== undefined) return jobOf(row) as Job<Kind>
  }
  return undefined
}

/**
 * Selects a due job. If a job is due later than any delay allows, the clock was ahead when it was queued. Such a job is
 * due now.
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

/** Renews a lease, or returns a job to the queue with its counts. Returns false if the job was deleted or replaced. */
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

/** Makes all jobs of some kinds due now, except jobs with more than `maxAttempts` attempts. */
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

/** Returns when the oldest job was queued. Ids are UUIDs of version 7, so that their order is the order of time. */
export async function oldestJobCreatedAt (db: Kysely<Database>): Promise<number | undefined> {
  return (await db.selectFrom('jobs').select('created_at').orderBy('id').limit(1).executeTakeFirst())?.created_at
}

/** Deletes the job of a media, of any kind. */
export async function deleteJobOfMedia (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('media_id', '=', mediaId).execute()
}

/** Deletes the job that makes a rendition of a media. */
export async function deleteRenditionJob (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('jobs').where('rendition_of', '=', mediaId).execute()
}

/** Returns whether a job of any kind but a rendition waits for a media, or works on it. */
export async function hasMediaJob (db: Kysely<Database>, mediaId: string): Promise<boolean> {
  const found = await db.selectFrom('jobs').select('id').where('media_id', '=', mediaId).executeTakeFirst()
  return found !== undefined
}

/** Returns whether a job of a kind is due. */
export async function hasDueJob (db: Kysely<Database>, kind: JobKind, now: number): Promise<boolean> {
  return (await dueJob(db, kind, now).executeTakeFirst()) !== undefined
}

export async function deleteJob (db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('jobs').where('id', '=', id).execute()
}

/** **Throws** if the row lacks the subject of its kind. The inserts of this file always set the subject. */
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
    case 'describe-files':
      return { ...state, kind }
    case 'rendition':
      return { ...state, kind, mediaId: subjectOf(row, row.rendition_of) }
    case 'mux-removal':
      return { ...state, kind, removal: JSON.parse(subjectOf(row, row.removal)) as MuxRemoval }
  }
}

function subjectOf ({ id, kind }: Selectable<JobsTable>, subject: string | null): string {
  if (subject === null) throw new Error(`job ${id} of kind ${kind} names nothing to work on`)
  return subject
}
