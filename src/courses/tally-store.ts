import { sql, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database/tables.js'

/** A lecture is completed when 9/10 of its duration was watched. The share is two integers, to avoid rounding. */
export const COMPLETED_SHARE = { part: 9, of: 10 }

/**
 * Numbers of subscribers. A subscriber has stopped at the furthest lecture that they started, unless they completed it.
 */
export interface LectureTally {
  lectureId: string
  started: number
  completed: number
  stopped: number
}

type Flags = Omit<LectureTally, 'lectureId'>
const COUNTS = ['started', 'completed', 'stopped'] as const

export async function listTallies (db: Kysely<Database>, lectureIds: string[]): Promise<LectureTally[]> {
  if (lectureIds.length === 0) return []
  const rows = await tallies(db, lectureIds).execute()
  return rows.map(({ lecture_id: lectureId, started, completed, stopped }) => ({
    lectureId,
    started,
    completed,
    stopped
  }))
}

export function tallies (db: Kysely<Database>, lectureIds: string[]) {
  return db.selectFrom('lecture_tallies').selectAll().where('lecture_id', 'in', lectureIds)
}

/** A lecture of unknown length, or of none, is never completed. */
export function isCompleted (watchedMs: number, durationMs: number | null): boolean {
  return durationMs !== null && durationMs > 0 && watchedMs * COMPLETED_SHARE.of >= durationMs * COMPLETED_SHARE.part
}

/**
 * Recounts some students in the tallies of a course. Called after a report, a new or ended subscription, and a change
 * of the lectures. Each progress row stores how it is counted, so no student is counted twice.
 */
export async function settleTallies (
  trx: Transaction<Database>,
  courseId: string,
  studentIds: string[]
): Promise<void> {
  if (studentIds.length === 0) return
  const rows = await progressOf(trx, courseId, studentIds).execute()
  const furthest = new Map<string, number>()
  for (const { student_id: id, position } of rows) furthest.set(id, Math.max(position, furthest.get(id) ?? 0))
  const changes = new Map<string, Flags>()
  for (const row of rows) {
    const completed = Number(isCompleted(row.watched_ms, row.duration_ms))
    const due: Flags =
      row.subscription === null
        ? { started: 0, completed: 0, stopped: 0 }
        : { started: 1, completed, stopped: Number(row.position === furthest.get(row.student_id) && completed === 0) }
    if (COUNTS.every((count) => row[count] === due[count])) continue
    await trx
      .updateTable('lecture_progress')
      .set(due)
      .where('lecture_id', '=', row.lecture_id)
      .where('student_id', '=', row.student_id)
      .execute()
    addFlags(changes, row.lecture_id, due, row)
  }
  await addToTallies(trx, changes)
}

/** Returns at most `max` students with progress in a lecture. */
export async function listStarters (db: Kysely<Database>, lectureId: string, max: number): Promise<string[]> {
  const rows = await db
    .selectFrom('lecture_progress')
    .select('student_id')
    .where('lecture_id', '=', lectureId)
    .orderBy('student_id')
    .limit(max)
    .execute()
  return rows.map((row) => row.student_id)
}

export async function deleteProgress (
  trx: Transaction<Database>,
  lectureId: string,
  studentIds: string[]
): Promise<void> {
  if (studentIds.length === 0) return
  await trx
    .deleteFrom('lecture_progress')
    .where('lecture_id', '=', lectureId)
    .where('student_id', 'in', studentIds)
    .execute()
}

function progressOf (trx: Transaction<Database>, courseId: string, studentIds: string[]) {
  return trx
    .selectFrom('lectures')
    .innerJoin('lecture_progress', 'lecture_progress.lecture_id', 'lectures.id')
    .innerJoin('media', 'media.id', 'lectures.media_id')
    .leftJoin('subscriptions', (join) =>
      join
        .on('subscriptions.course_id', '=', courseId)
        .onRef('subscriptions.student_id', '=', 'lecture_progress.student_id')
    )
    .where('lectures.course_id', '=', courseId)
    .where('lectures.deleted_at', 'is', null)
    .where('lecture_progress.student_id', 'in', studentIds)
    .select([
      'lecture_id',
      'lecture_progress.student_id',
      'watched_ms',
      'duration_ms',
      'lectures.position',
      'subscriptions.id as subscription',
      'started',
      'completed',
      'stopped'
    ])
}

function addFlags (changes: Map<string, Flags>, lectureId: string, due: Flags, counted: Flags): void {
  const change = changes.get(lectureId) ?? { started: 0, completed: 0, stopped: 0 }
  for (const count of COUNTS) change[count] += due[count] - counted[count]
  changes.set(lectureId, change)
}

/** Updates the tallies in the order of lecture ids, so that parallel transactions cannot deadlock. */
async function addToTallies (trx: Transaction<Database>, changes: Map<string, Flags>): Promise<void> {
  const rows = [...changes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, flags]) => ({ lecture_id: id, ...flags }))
  if (rows.length === 0) return
  const sum = (column: string) =>
    sql<number>`${sql.ref(`lecture_tallies.${column}`)} + ${sql.ref(`excluded.${column}`)}`
  await trx
    .insertInto('lecture_tallies')
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .column('lecture_id')
        .doUpdateSet({ started: sum('started'), completed: sum('completed'), stopped: sum('stopped') })
    )
    .execute()
}
