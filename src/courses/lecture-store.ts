import type { Kysely, Selectable, Transaction } from 'kysely'
import type { LecturesTable } from '../database/course-tables.js'
import type { Database } from '../database/tables.js'
import type { Lecture } from './schema.js'

/** Inserts a lecture at the end of its course, which must be locked. Returns its position. */
export async function insertLecture (trx: Transaction<Database>, lecture: Omit<Lecture, 'position'>): Promise<number> {
  const { last } = await trx
    .selectFrom('lectures')
    .select((select) => select.fn.max('position').as('last'))
    .where('course_id', '=', lecture.courseId)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  const position = Number(last ?? 0) + 1
  await trx
    .insertInto('lectures')
    .values({
      id: lecture.id,
      course_id: lecture.courseId,
      media_id: lecture.mediaId,
      title: lecture.title,
      description: lecture.description,
      category: lecture.category,
      subcategory: lecture.subcategory,
      position,
      created_at: lecture.createdAt,
      updated_at: lecture.updatedAt
    })
    .execute()
  return position
}

export async function findLecture (db: Kysely<Database>, id: string): Promise<Lecture | undefined> {
  const row = await db
    .selectFrom('lectures')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row && lectureOf(row)
}

/** Returns the course of a media, or undefined if the media is not a lecture. */
export async function findCourseIdOfMedia (db: Kysely<Database>, mediaId: string): Promise<string | undefined> {
  return (
    await db
      .selectFrom('lectures')
      .select('course_id')
      .where('media_id', '=', mediaId)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
  )?.course_id
}

/** Returns all lectures of a course by position. */
export async function listLectures (db: Kysely<Database>, courseId: string): Promise<Lecture[]> {
  const rows = await db
    .selectFrom('lectures')
    .selectAll()
    .where('course_id', '=', courseId)
    .where('deleted_at', 'is', null)
    .orderBy('position')
    .orderBy('id')
    .execute()
  return rows.map(lectureOf)
}

/**
 * Scans the next `limit` lectures after `afterId`. Returns the unprotected lectures of premium courses, or of all
 * courses. `lastId` is the last scanned id, or undefined at the end.
 */
export async function listUnprotected (
  db: Kysely<Database>,
  ofAllCourses: boolean,
  afterId: string,
  limit: number
): Promise<{ lectures: Lecture[]; lastId: string | undefined }> {
  const rows = await db
    .selectFrom(
      db.selectFrom('lectures').selectAll().where('id', '>', afterId).orderBy('id').limit(limit).as('lectures')
    )
    .innerJoin('media', 'media.id', 'lectures.media_id')
    .innerJoin('courses', 'courses.id', 'lectures.course_id')
    .selectAll('lectures')
    .select(['media.protection', 'courses.premium'])
    .orderBy('lectures.id')
    .execute()
  const unprotected = rows.filter(
    (row) => row.deleted_at === null && row.protection === 'none' && (ofAllCourses || row.premium === 1)
  )
  return { lectures: unprotected.map(lectureOf), lastId: rows.length === limit ? rows.at(-1)!.id : undefined }
}

export async function updateLecture (
  db: Kysely<Database>,
  id: string,
  change: Partial<Pick<Lecture, 'title' | 'description' | 'category' | 'subcategory'>>,
  now: number
): Promise<Lecture | undefined> {
  const row = await db
    .updateTable('lectures')
    .set({ ...change, updated_at: now })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  return row && lectureOf(row)
}

/** Sets the positions of lectures to 1, 2, 3… in the order of `ids`. */
export async function updatePositions (trx: Transaction<Database>, ids: string[]): Promise<void> {
  for (const [index, id] of ids.entries()) {
    await trx
      .updateTable('lectures')
      .set({ position: index + 1 })
      .where('id', '=', id)
      .where('position', '<>', index + 1)
      .execute()
  }
}

/**
 * Marks a lecture of a locked course as deleted, and closes the gap in the positions. Returns undefined if the lecture
 * was deleted already.
 */
export async function markLectureDeleted (
  trx: Transaction<Database>,
  id: string,
  now: number
): Promise<Lecture | undefined> {
  const row = await trx
    .updateTable('lectures')
    .set({ deleted_at: now })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return undefined
  await trx
    .updateTable('lectures')
    .set((set) => ({ position: set('position', '-', 1) }))
    .where('course_id', '=', row.course_id)
    .where('position', '>', row.position)
    .where('deleted_at', 'is', null)
    .execute()
  return lectureOf(row)
}

/** Marks all lectures of a locked course as deleted, and returns them. */
export async function markLecturesDeleted (
  trx: Transaction<Database>,
  courseId: string,
  now: number
): Promise<Lecture[]> {
  const rows = await trx
    .updateTable('lectures')
    .set({ deleted_at: now })
    .where('course_id', '=', courseId)
    .where('deleted_at', 'is', null)
    .returningAll()
    .execute()
  return rows.map(lectureOf)
}

/** Returns the deleted lecture of a media, or undefined if the media has none. */
export async function findDeletedLecture (db: Kysely<Database>, mediaId: string): Promise<Lecture | undefined> {
  const row = await db
    .selectFrom('lectures')
    .selectAll()
    .where('media_id', '=', mediaId)
    .where('deleted_at', 'is not', null)
    .executeTakeFirst()
  return row && lectureOf(row)
}

/** Deletes the row of a lecture that is marked as deleted. */
export async function deleteLecture (trx: Transaction<Database>, id: string): Promise<void> {
  await trx.deleteFrom('lectures').where('id', '=', id).where('deleted_at', 'is not', null).execute()
}

function lectureOf (row: Selectable<LecturesTable>): Lecture {
  return {
    id: row.id,
    courseId: row.course_id,
    mediaId: row.media_id,
    title: row.title,
    description: row.description,
    category: row.category,
    subcategory: row.subcategory,
    position: row.position,
    createdAt: row.created_at,
    updatedAt: row.updated_at
  }
}
