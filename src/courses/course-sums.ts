import type { Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { insertCourseJob } from '../jobs/job-store.js'
import type { Clock } from '../time.js'
import { lockCourse, updateCourseSums } from './course-store.js'
import { findCourseIdOfMedia } from './lecture-store.js'

/**
 * Returns a function that locks a media's course, if it has one, until the transaction ends. That function resolves
 * with a second function, which changes the course's duration. The second function also queues the tallies, because
 * completion of a lecture depends on its duration.
 */
export function sumsLock (clock: Clock) {
  return async (trx: Transaction<Database>, mediaId: string): Promise<(deltaMs: number) => Promise<void>> => {
    const courseId = await findCourseIdOfMedia(trx, mediaId)
    if (courseId !== undefined) await lockCourse(trx, courseId)
    return async (deltaMs) => {
      // The lecture is read again, because it may have been deleted before the course was locked.
      if (courseId === undefined || deltaMs === 0 || (await findCourseIdOfMedia(trx, mediaId)) !== courseId) return
      await updateCourseSums(trx, courseId, 0, deltaMs)
      await insertCourseJob(trx, 'tally-course', courseId, clock.now())
    }
  }
}
