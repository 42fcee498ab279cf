import { sql, type Kysely } from 'kysely'
import { foreignKeyViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'

/** A lecture is completed when so much of its length was watched: 9 of 10 parts, in integers, so that the database says the same. */
export const COMPLETED_SHARE = { part: 9, of: 10 }

/** How far a student is in a lecture: the furthest point seen, and how much of it was watched. */
export interface Progress { lectureId: string, studentId: string, positionMs: number, watchedMs: number }

/**
 * Keeps the larger of what is known and what is reported, so that repeats and late packets do no harm. Answers what holds now. Throws
 * `not_found` for a lecture that is gone.
 */
export async function insertProgress (db: Kysely<Database>, { lectureId, studentId, positionMs, watchedMs }: Progress, now: number): Promise<Progress> {
  const larger = (column: string) => sql<number>`case when ${sql.ref(`excluded.${column}`)} > ${sql.ref(`lecture_progress.${column}`)} then ${sql.ref(`excluded.${column}`)} else ${sql.ref(`lecture_progress.${column}`)} end`
  const row = await db.insertInto('lecture_progress')
    .values({ lecture_id: lectureId, student_id: studentId, position_ms: positionMs, watched_ms: watchedMs, updated_at: now })
    .onConflict((conflict) => conflict.columns(['lecture_id', 'student_id']).doUpdateSet({ position_ms: larger('position_ms'), watched_ms: larger('watched_ms'), updated_at: now }))
    .returning(['position_ms', 'watched_ms']).executeTakeFirstOrThrow()
    .catch((error: unknown) => { throw foreignKeyViolation(error) ? new ApiError('not_found', { cause: error }) : error })
  return { lectureId, studentId, positionMs: row.position_ms, watchedMs: row.watched_ms }
}

/** A student's progress in a course, while they are subscribed. */
export async function listProgress (db: Kysely<Database>, courseId: string, studentId: string): Promise<Progress[]> {
  const rows = await subscribedProgress(db, courseId).select(['lecture_id', 'lecture_progress.student_id', 'position_ms', 'watched_ms'])
    .where('lecture_progress.student_id', '=', studentId).execute()
  return rows.map((row) => ({ lectureId: row.lecture_id, studentId: row.student_id, positionMs: row.position_ms, watchedMs: row.watched_ms }))
}

/** How many of those who are subscribed now started a lecture, completed it, and started none after it without completing it. */
export interface LectureTally { lectureId: string, started: number, completed: number, stopped: number }

/** The tallies of a course, of lectures that anybody started; counted by the database, whatever their number. */
export async function listTallies (db: Kysely<Database>, courseId: string): Promise<LectureTally[]> {
  const rows = await db
    .with('reports', (query) => subscribedProgress(query, courseId).innerJoin('media', 'media.id', 'lectures.media_id').select(({ ref }) => [
      'lecture_id',
      sql<number>`case when ${ref('watched_ms')} * ${sql.lit(COMPLETED_SHARE.of)} >= ${ref('media.duration_ms')} * ${sql.lit(COMPLETED_SHARE.part)} then 1 else 0 end`.as('completed'),
      sql<number>`case when ${ref('lectures.position')} = max(${ref('lectures.position')}) over (partition by ${ref('lecture_progress.student_id')}) then 1 else 0 end`.as('furthest')
    ]))
    .selectFrom('reports').select(({ fn }) => [
      'lecture_id',
      fn.countAll<number>().as('started'),
      fn.sum<number>('completed').as('completed'),
      sql<number>`sum(furthest * (1 - completed))`.as('stopped')
    ]).groupBy('lecture_id').execute()
  return rows.map((row) => ({ lectureId: row.lecture_id, started: Number(row.started), completed: Number(row.completed), stopped: Number(row.stopped) }))
}

function subscribedProgress (db: Pick<Kysely<Database>, 'selectFrom'>, courseId: string) {
  return db.selectFrom('lecture_progress')
    .innerJoin('lectures', 'lectures.id', 'lecture_progress.lecture_id')
    .innerJoin('subscriptions', (join) => join.onRef('subscriptions.course_id', '=', 'lectures.course_id').onRef('subscriptions.student_id', '=', 'lecture_progress.student_id'))
    .where('lectures.course_id', '=', courseId)
}
