import type { Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { lockCourse, updateCourseSums } from './course-store.js'
import { findCourseIdOfMedia } from './lecture-store.js'

/** Locks the course that counts a media's duration, if one does, until the transaction ends; answers how to change its sum. */
export async function lockSumsOf (trx: Transaction<Database>, mediaId: string): Promise<(deltaMs: number) => Promise<void>> {
  const courseId = await findCourseIdOfMedia(trx, mediaId)
  if (courseId !== undefined) await lockCourse(trx, courseId)
  return async (deltaMs) => {
    // Read anew: the lecture may have been deleted before the lock was there.
    if (courseId !== undefined && deltaMs !== 0 && await findCourseIdOfMedia(trx, mediaId) === courseId) await updateCourseSums(trx, courseId, 0, deltaMs)
  }
}
