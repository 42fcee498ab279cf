import type { Kysely, SelectQueryBuilder, Selectable, Transaction } from 'kysely'
import { validate as isUuid } from 'uuid'
import { compileOnce } from '../database/compile-once.js'
import { engineOf } from '../database/dialect.js'
import type { CoursesTable, Database } from '../database/tables.js'
import type { PageQuery } from '../page.js'
import type { Course } from './schema.js'

/** A course as the public list shows it. */
export interface CourseWithInstructor { course: Course, firstName: string | null, lastName: string | null }

export interface CourseFilter { ownerId?: string, studentId?: string }

export async function insertCourse (db: Kysely<Database>, course: Course): Promise<void> {
  await db.insertInto('courses').values({
    id: course.id,
    owner_id: course.ownerId,
    title: course.title,
    description: course.description,
    premium: course.premium ? 1 : 0,
    duration_ms: course.durationMs,
    lectures_count: course.lecturesCount,
    created_at: course.createdAt,
    updated_at: course.updatedAt
  }).execute()
}

/** Undefined also for an id that is not well formed. */
export async function findCourse (db: Kysely<Database>, id: string): Promise<Course | undefined> {
  if (!isUuid(id)) return undefined
  const row = await db.selectFrom('courses').selectAll().where('id', '=', id.toLowerCase()).executeTakeFirst()
  return row && courseOf(row)
}

/** A course that nobody else changes until the transaction ends. */
export async function lockCourse (trx: Transaction<Database>, id: string): Promise<Course | undefined> {
  const row = await trx.selectFrom('courses').selectAll().where('id', '=', id).$if(engineOf(trx) === 'postgres', (query) => query.forUpdate()).executeTakeFirst()
  return row && courseOf(row)
}

type PageArgs = { size: number, offset: number, accountId: string }
type Courses = SelectQueryBuilder<Database, 'courses', object>

/** Pages of courses as `narrow` picks them, each row with how many there are in all; and that alone, which a page behind the last one has no row for. */
function pagesOf (narrow: (query: Courses, accountId: string) => Courses) {
  const matching = (db: Kysely<Database>, accountId: string) => narrow(db.selectFrom('courses'), accountId)
  const count = (db: Kysely<Database>, accountId: string) => matching(db, accountId).select((select) => select.fn.countAll<number>().as('total'))
  return {
    page: compileOnce((db, { size, offset, accountId }: PageArgs) => matching(db, accountId)
      .innerJoin('accounts', 'accounts.id', 'courses.owner_id').selectAll('courses').select(['first_name', 'last_name', count(db, accountId).as('total')])
      .orderBy('courses.created_at', 'desc').orderBy('courses.id', 'desc').limit(size).offset(offset)),
    count: compileOnce((db, { accountId }: { accountId: string }) => count(db, accountId))
  }
}

const all = pagesOf((query) => query)
const ofOwner = pagesOf((query, ownerId) => query.where('courses.owner_id', '=', ownerId))
const ofStudent = pagesOf((query, studentId) => query.where('courses.id', 'in', (select) => select.selectFrom('subscriptions').select('course_id').where('student_id', '=', studentId)))

/** A page, newest first, and how many there are in all; of an owner, or of those a student is subscribed to. */
export async function listCourses (db: Kysely<Database>, { ownerId, studentId }: CourseFilter, { page, size }: PageQuery): Promise<{ items: CourseWithInstructor[], total: number }> {
  const pages = ownerId !== undefined ? ofOwner : studentId !== undefined ? ofStudent : all
  const accountId = ownerId ?? studentId ?? ''
  const rows = await pages.page(db, { size, offset: (page - 1) * size, accountId })
  const [counted] = rows.length > 0 ? rows : await pages.count(db, { accountId })
  return { items: rows.map((row) => ({ course: courseOf(row), firstName: row.first_name, lastName: row.last_name })), total: counted!.total! }
}

export async function updateCourse (db: Kysely<Database>, id: string, change: { title?: string, description?: string, premium?: boolean }, now: number): Promise<Course | undefined> {
  const { premium, ...text } = change
  const row = await db.updateTable('courses').set({ ...text, ...(premium !== undefined && { premium: premium ? 1 : 0 }), updated_at: now })
    .where('id', '=', id).returningAll().executeTakeFirst()
  return row && courseOf(row)
}

/** Adds to the sums over its lectures, and locks the course until the transaction ends. False if it is gone. */
export async function updateCourseSums (trx: Transaction<Database>, id: string, lectures: number, durationMs: number): Promise<boolean> {
  const { numUpdatedRows } = await trx.updateTable('courses').set((set) => ({
    lectures_count: set('lectures_count', '+', lectures),
    duration_ms: set('duration_ms', '+', durationMs)
  })).where('id', '=', id).executeTakeFirst()
  return numUpdatedRows > 0n
}

export async function deleteCourse (trx: Transaction<Database>, id: string): Promise<void> {
  await trx.deleteFrom('courses').where('id', '=', id).execute()
}

function courseOf (row: Selectable<CoursesTable>): Course {
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
