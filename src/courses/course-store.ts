import type { Kysely, Selectable, Transaction } from 'kysely'
import { validate as isUuid } from 'uuid'
import { engineOf } from '../database/dialect.js'
import type { CoursesTable } from '../database/course-tables.js'
import type { Database } from '../database/tables.js'
import type { Course, CourseInput } from './schema.js'

export async function insertCourse (db: Kysely<Database>, course: Course): Promise<void> {
  await db
    .insertInto('courses')
    .values({
      id: course.id,
      owner_id: course.ownerId,
      title: course.title,
      description: course.description,
      premium: course.premium ? 1 : 0,
      duration_ms: course.durationMs,
      lectures_count: course.lecturesCount,
      created_at: course.createdAt,
      updated_at: course.updatedAt
    })
    .execute()
}

/** Returns undefined also for a malformed id. */
export async function findCourse (db: Kysely<Database>, id: string): Promise<Course | undefined> {
  if (!isUuid(id)) return undefined
  const row = await db
    .selectFrom('courses')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row && courseOf(row)
}

/** Finds a course and locks it until the transaction ends. */
export async function lockCourse (trx: Transaction<Database>, id: string): Promise<Course | undefined> {
  const row = await trx
    .selectFrom('courses')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .executeTakeFirst()
  return row && courseOf(row)
}

/** Finds a course and takes a shared lock on it until the transaction ends. */
export async function shareCourse (trx: Transaction<Database>, id: string): Promise<Course | undefined> {
  const row = await trx
    .selectFrom('courses')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .$if(engineOf(trx) === 'postgres', (query) => query.forShare())
    .executeTakeFirst()
  return row && courseOf(row)
}

export async function updateCourse (
  db: Kysely<Database>,
  id: string,
  change: Partial<CourseInput>,
  now: number
): Promise<Course | undefined> {
  const { premium, ...text } = change
  const row = await db
    .updateTable('courses')
    .set({ ...text, ...(premium !== undefined && { premium: premium ? 1 : 0 }), updated_at: now })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  return row && courseOf(row)
}

/**
 * Adds to a course's sums over its lectures, and locks the course until the transaction ends. Returns false if the
 * course was deleted.
 */
export async function updateCourseSums (
  trx: Transaction<Database>,
  id: string,
  lectures: number,
  durationMs: number
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('courses')
    .set((set) => ({
      lectures_count: set('lectures_count', '+', lectures),
      duration_ms: set('duration_ms', '+', durationMs)
    }))
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Marks a locked course as deleted, which hides it from everybody. */
export async function markCourseDeleted (trx: Transaction<Database>, id: string, now: number): Promise<void> {
  await trx.updateTable('courses').set({ deleted_at: now }).where('id', '=', id).execute()
}

/**
 * Deletes the row of a course that is marked as deleted, and by cascade its job. Returns false while lectures refer to
 * the course.
 */
export async function deleteCourse (db: Kysely<Database>, id: string): Promise<boolean> {
  if (
    (await db.selectFrom('lectures').select('id').where('course_id', '=', id).limit(1).executeTakeFirst()) !== undefined
  ) {
    return false
  }
  await db.deleteFrom('courses').where('id', '=', id).where('deleted_at', 'is not', null).execute()
  return true
}

export function courseOf (row: Selectable<CoursesTable>): Course {
  return {
    id: row.id,
    ownerId: row.owner_id,
    title: row.title,
    description: row.description,
    premium: row.premium === 1,
    durationMs: row.duration_ms,
    lecturesCount: row.lectures_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at
  }
}
