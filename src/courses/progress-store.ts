import { sql, type Kysely, type Transaction } from 'kysely'
import { foreignKeyViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'

/** A student's progress in a lecture: the furthest position, and the watched time. */
export interface Progress {
  lectureId: string
  studentId: string
  positionMs: number
  watchedMs: number
}

/**
 * Stores the larger of the stored and the reported values, so that repeated and late reports do no harm. Returns the
 * stored values. **Throws** `not_found` if the lecture was deleted.
 */
export async function insertProgress (
  db: Kysely<Database>,
  { lectureId, studentId, positionMs, watchedMs }: Progress,
  now: number
): Promise<Progress> {
  const larger = (column: string) => {
    const [fresh, stored] = [sql.ref(`excluded.${column}`), sql.ref(`lecture_progress.${column}`)]
    return sql<number>`case when ${fresh} > ${stored} then ${fresh} else ${stored} end`
  }
  const row = await db
    .insertInto('lecture_progress')
    .values({
      lecture_id: lectureId,
      student_id: studentId,
      position_ms: positionMs,
      watched_ms: watchedMs,
      updated_at: now
    })
    .onConflict((conflict) =>
      conflict
        .columns(['lecture_id', 'student_id'])
        .doUpdateSet({ position_ms: larger('position_ms'), watched_ms: larger('watched_ms'), updated_at: now })
    )
    .returning(['position_ms', 'watched_ms'])
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw foreignKeyViolation(error) ? new ApiError('not_found', { cause: error }) : error
    })
  return { lectureId, studentId, positionMs: row.position_ms, watchedMs: row.watched_ms }
}

/**
 * Returns whether the tallies count the student as having completed the lecture. Returns undefined if they do not count
 * the student.
 */
export async function findCountedProgress (
  trx: Transaction<Database>,
  lectureId: string,
  studentId: string
): Promise<boolean | undefined> {
  const row = await trx
    .selectFrom('lecture_progress')
    .select(['started', 'completed'])
    .where('lecture_id', '=', lectureId)
    .where('student_id', '=', studentId)
    .executeTakeFirst()
  return row === undefined || row.started === 0 ? undefined : row.completed === 1
}

/** Returns a student's progress in the lectures of a course. The list is empty if the student is not subscribed. */
export async function listProgress (db: Kysely<Database>, courseId: string, studentId: string): Promise<Progress[]> {
  const rows = await subscribedProgress(db, courseId)
    .select(['lecture_id', 'lecture_progress.student_id', 'position_ms', 'watched_ms'])
    .where('lecture_progress.student_id', '=', studentId)
    .execute()
  return rows.map((row) => ({
    lectureId: row.lecture_id,
    studentId: row.student_id,
    positionMs: row.position_ms,
    watchedMs: row.watched_ms
  }))
}

function subscribedProgress (db: Pick<Kysely<Database>, 'selectFrom'>, courseId: string) {
  return db
    .selectFrom('lecture_progress')
    .innerJoin('lectures', 'lectures.id', 'lecture_progress.lecture_id')
    .innerJoin('subscriptions', (join) =>
      join
        .onRef('subscriptions.course_id', '=', 'lectures.course_id')
        .onRef('subscriptions.student_id', '=', 'lecture_progress.student_id')
    )
    .where('lectures.course_id', '=', courseId)
    .where('lectures.deleted_at', 'is', null)
}
