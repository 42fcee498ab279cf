import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Viewer } from '../accounts/schema.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Library } from '../media/library.js'
import { pageOf, type Page, type PageQuery } from '../page.js'
import type { Clock } from '../time.js'
import { deleteCourse, findCourse, insertCourse, listCourses, lockCourse, updateCourse, type CourseFilter, type CourseWithInstructor } from './course-store.js'
import { deleteLecturesOfCourse, listLectures } from './lecture-store.js'
import type { Course } from './schema.js'
import { deleteSubscriptionsOfCourse } from './subscription-store.js'

export interface CourseText { title: string, description: string, premium: boolean }

export type Courses = ReturnType<typeof createCourses>

/** The courses there are. They are public; only their owner and administrators change them. */
export function createCourses ({ db, library, now }: { db: Kysely<Database>, library: Library, now: Clock }) {
  async function find (id: string): Promise<Course> {
    const course = await findCourse(db, id)
    if (course === undefined) throw new ApiError('not_found')
    return course
  }

  return {
    /** Throws `not_found`. */
    find,

    /** A course that the viewer may change: `not_found`, or `not_owner`. */
    async changeable (viewer: Viewer, id: string): Promise<Course> {
      const course = await find(id)
      if (viewer.role !== 'admin' && course.ownerId !== viewer.id) throw new ApiError('not_owner')
      return course
    },

    async create (ownerId: string, { title, description, premium }: CourseText): Promise<Course> {
      const createdAt = now()
      const course = { id: uuidv7(), ownerId, title: title.trim(), description: description.trim(), premium, durationMs: 0, lecturesCount: 0, createdAt, updatedAt: createdAt }
      await insertCourse(db, course)
      return course
    },

    async list (filter: CourseFilter, page: PageQuery): Promise<Page<CourseWithInstructor>> {
      const { items, total } = await listCourses(db, filter, page)
      return pageOf(items, total, page)
    },

    async change (id: string, { title, description, premium }: Partial<CourseText>): Promise<Course> {
      const text = { ...(title !== undefined && { title: title.trim() }), ...(description !== undefined && { description: description.trim() }) }
      const course = await updateCourse(db, id, { ...text, premium }, now())
      if (course === undefined) throw new ApiError('not_found')
      return course
    },

    /** Deletes a course with its lectures, their media, and its subscriptions; access ends at once. */
    async remove (id: string): Promise<void> {
      await library.clearViews((await listLectures(db, id)).map(({ mediaId }) => mediaId))
      const gone = await db.transaction().execute(async (trx) => {
        if (await lockCourse(trx, id) === undefined) throw new ApiError('not_found')
        const lectures = await deleteLecturesOfCourse(trx, id)
        await deleteSubscriptionsOfCourse(trx, id)
        await deleteCourse(trx, id)
        return await library.deleteRows(trx, lectures.map(({ mediaId }) => mediaId))
      })
      await library.removeFiles(gone)
    }
  }
}
