import type { Kysely, SelectQueryBuilder } from 'kysely'
import { compileOnce } from '../database/compile-once.js'
import { courseCounters, subscriptionsCounter } from '../database/counters.js'
import type { Database } from '../database/tables.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import { courseOf } from './course-store.js'
import type { Course } from './schema.js'

/** A course with the name of its instructor, for the public list. */
export interface CourseWithInstructor {
  course: Course
  firstName: string | null
  lastName: string | null
}

export interface CourseFilter {
  ownerId?: string
  studentId?: string
}

export type CoursePageArgs = { size: number; offset: number; accountId: string; counter: string }
type Ids = SelectQueryBuilder<Database, 'courses', { id: string; created_at: number }>

/**
 * Builds the two queries of a course list: a page of courses, and their total. The page's ids come from an index.
 * `hidden` counts the deleted courses that the counter still includes.
 */
function pagesOf (
  ids: (db: Kysely<Database>, args: CoursePageArgs) => Ids,
  hidden?: (db: Kysely<Database>, accountId: string) => HiddenCount
) {
  const total = (db: Kysely<Database>, { counter, accountId }: CoursePageArgs) =>
    db
      .selectNoFrom(({ fn, lit }) =>
        fn.coalesce(db.selectFrom('counters').select('value').where('name', '=', counter), lit(0)).as('total')
      )
      .select(({ lit }) => (hidden?.(db, accountId) ?? db.selectNoFrom(lit(0).as('hidden'))).as('hidden'))
  const page = (db: Kysely<Database>, args: CoursePageArgs) =>
    db
      .selectFrom(ids(db, args).limit(args.size).offset(args.offset).as('page'))
      .innerJoin('courses', 'courses.id', 'page.id')
      .innerJoin('accounts', 'accounts.id', 'courses.owner_id')
      .selectAll('courses')
      .select(['first_name', 'last_name'])
      .orderBy('page.created_at', 'desc')
      .orderBy('page.id', 'desc')
  return { query: page, page: compileOnce(page), total: compileOnce(total) }
}

type HiddenCount = ReturnType<typeof hiddenOfStudent>

/** Counts a student's subscriptions to deleted courses. Until a job removes them, the counter includes them. */
function hiddenOfStudent (db: Kysely<Database>, studentId: string) {
  return db
    .selectFrom('courses')
    .innerJoin('subscriptions', 'subscriptions.course_id', 'courses.id')
    .where('courses.deleted_at', 'is not', null)
    .where('student_id', '=', studentId)
    .select(({ fn }) => fn.countAll<number>().as('hidden'))
}

const newestFirst = (db: Kysely<Database>) =>
  db
    .selectFrom('courses')
    .select(['id', 'created_at'])
    .where('deleted_at', 'is', null)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')

export const coursePages = {
  all: pagesOf(newestFirst),
  ofOwner: pagesOf((db, { accountId }) => newestFirst(db).where('owner_id', '=', accountId)),
  ofStudent: pagesOf(
    (db, { accountId }) =>
      db
        .selectFrom('subscriptions')
        .innerJoin('courses', 'courses.id', 'subscriptions.course_id')
        .where('student_id', '=', accountId)
        .where('deleted_at', 'is', null)
        .select(['course_id as id', 'course_created_at as created_at'])
        .orderBy('course_created_at', 'desc')
        .orderBy('course_id', 'desc'),
    hiddenOfStudent
  )
}

/**
 * Returns a page of courses, newest first, and their total. The filter limits them to an owner's courses or to a
 * student's subscriptions.
 */
export async function listCourses (
  db: Kysely<Database>,
  { ownerId, studentId }: CourseFilter,
  page: PageQuery
): Promise<{ items: CourseWithInstructor[]; total: number }> {
  const accountId = ownerId ?? studentId ?? ''
  const args = { size: page.size, offset: offsetOf(page), accountId, counter: counterOf({ ownerId, studentId }) }
  const pages =
    ownerId !== undefined ? coursePages.ofOwner : studentId !== undefined ? coursePages.ofStudent : coursePages.all
  const [rows, [counted]] = await Promise.all([pages.page(db, args), pages.total(db, args)])
  const items = rows.map((row) => ({ course: courseOf(row), firstName: row.first_name, lastName: row.last_name }))
  return { items, total: Number(counted!.total) - Number(counted!.hidden) }
}

function counterOf ({ ownerId, studentId }: CourseFilter): string {
  if (ownerId !== undefined) return courseCounters(ownerId)[1]!
  return studentId === undefined ? 'courses' : subscriptionsCounter(studentId)
}
