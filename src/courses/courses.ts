import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Accounts } from '../accounts/accounts.js'
import type { Role, Viewer } from '../accounts/schema.js'
import type { Attach } from '../database/attach.js'
import { addTo, addToCounters, courseCounters } from '../database/counters.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { ANY_AGE, confirmRefusal } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import { countMedia } from '../media/media-store.js'
import { insertCourseJob } from '../jobs/job-store.js'
import type { Clock } from '../time.js'
import { listCourses, type CourseFilter, type CourseWithInstructor } from './course-list.js'
import { findCourse, insertCourse, lockCourse, markCourseDeleted, updateCourse } from './course-store.js'
import { markLecturesDeleted } from './lecture-store.js'
import type { Course, CourseInput } from './schema.js'
import { trimmed } from './trimmed.js'

interface CoursesOptions {
  db: Kysely<Database>
  accounts: Accounts
  library: Library
  clock: Clock
}

/** Courses. Everybody may read them; their owner and administrators may change them. */
export class Courses {
  readonly #options: CoursesOptions

  constructor (options: CoursesOptions) {
    this.#options = options
  }

  /** Finds a course. **Throws** `not_found`. */
  async find (id: string): Promise<Course> {
    const course = await findCourse(this.#options.db, id)
    if (course === undefined) throw new ApiError('not_found')
    return course
  }

  /** Finds a course that the viewer may change. **Throws** `not_found`, `not_owner`. */
  async changeable (viewer: Viewer, id: string): Promise<Course> {
    const course = await this.find(id)
    if (course.ownerId === viewer.id) return course
    return await confirmRefusal(async (since) => {
      const role = since === ANY_AGE ? viewer.role : await this.#roleOf(viewer, since)
      if (role !== 'admin') throw new ApiError('not_owner')
      return course
    })
  }

  /** Creates a course without lectures. `attach` adds rows in the same transaction. */
  async create (ownerId: string, input: CourseInput, attach?: Attach<Course>): Promise<Course> {
    const { db, clock } = this.#options
    const createdAt = clock.now()
    const course = {
      id: uuidv7(),
      ownerId,
      ...trimmed(input),
      durationMs: 0,
      lecturesCount: 0,
      createdAt,
      updatedAt: createdAt
    }
    await db.transaction().execute(async (trx) => {
      await insertCourse(trx, course)
      await attach?.(trx, course)
      await addToCounters(trx, addTo(new Map(), courseCounters(ownerId), 1))
    })
    return course
  }

  /** Lists courses with their instructors. */
  async list (filter: CourseFilter, page: PageQuery): Promise<Page<CourseWithInstructor>> {
    const { items, total } = await listCourses(this.#options.db, filter, page)
    return pageOf(items, total, page)
  }

  /** Changes the title, the description and the premium flag of a course. **Throws** `not_found`. */
  async change (id: string, change: Partial<CourseInput>): Promise<Course> {
    const { db, clock } = this.#options
    const course = await updateCourse(db, id, trimmed(change), clock.now())
    if (course === undefined) throw new ApiError('not_found')
    return course
  }

  /**
   * Deletes a course with its lectures, their media and its subscriptions. Hides all of them at once; a job deletes
   * their rows and files. **Throws** `not_found`.
   */
  async remove (id: string): Promise<void> {
    const { db, library, clock } = this.#options
    const marked = await db.transaction().execute(async (trx) => {
      const course = await lockCourse(trx, id)
      if (course === undefined) throw new ApiError('not_found')
      const lectures = await markLecturesDeleted(trx, id, clock.now())
      const mediaIds = lectures.map(({ mediaId }) => mediaId)
      const media = await library.markDeleted(trx, mediaIds)
      await markCourseDeleted(trx, id, clock.now())
      await insertCourseJob(trx, 'delete-course', id, clock.now())
      await addToCounters(trx, addTo(countMedia(new Map(), media, -1), courseCounters(course.ownerId), -1))
      return media
    })
    library.released(marked)
  }

  async #roleOf (viewer: Viewer, since: number): Promise<Role> {
    return ((await this.#options.accounts.viewer(viewer.id, since)) ?? viewer).role
  }
}
