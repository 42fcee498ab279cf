import type { Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { insertCourseJob } from '../jobs/job-store.js'
import type { Clock } from '../time.js'
import { lockCourse, updateCourseSums } from './course-store.js'
import { findCourseIdOfMedia } from './lecture-store.js'

/**
 * Locks the course that counts a media's duration, if one does, until the transaction ends; returns how to change its
 * sum. Who has completed a lecture depends on its duration: the tallies follow.
 */
export function sumsLock (clock: Clock) {
  return async (trx: Transaction<Database>, mediaId: string): Promise<(deltaMs: number) => Promise<void>> => {
    const courseId = await findCourseIdOfMedia(trx, mediaId)
    if (courseId !== undefined) await lockCourse(trx, courseId)
    return async (deltaMs) => {
      // Read again: the lecture may have been deleted before the lock was there.
      if (courseId === undefined || deltaMs === 0 || (await findCourseIdOfMedia(trx, mediaId)) !== courseId) return
      await updateCourseSums(trx, courseId, 0, deltaMs)
      await insertCourseJob(trx, 'tally-course', courseId, clock.now())
    }
  }
}
