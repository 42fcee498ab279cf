import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { RecordCache } from '../cache/record-cache.js'
import type { Clock } from '../time.js'
import { findCourse, shareCourse } from './course-store.js'
import type { Course, Subscription } from './schema.js'
import {
  countSubscriptions,
  deleteSubscription,
  findSubscribed,
  findSubscribedToMedia,
  insertSubscription
} from './subscription-store.js'
import { settleTallies } from './tally-store.js'

export type Subscriptions = ReturnType<typeof createSubscriptions>

/** Which student may watch the lectures of which course. */
export function createSubscriptions ({
  db,
  clock
}: {
  db: Kysely<Database>
  clock: Clock
}) {
  const toMedia = new RecordCache<true>(async (key) => {
    const [studentId, mediaId] = key.split(' ') as [string, string]
    return (await findSubscribedToMedia(db, studentId, mediaId)) || undefined
  }, clock)

  return {
    /** Throws `not_found` for an unknown course, `already_subscribed` the second time. */
    async subscribe (studentId: string, id: string): Promise<Subscription> {
      const course = await findCourse(db, id)
      if (course === undefined) throw new ApiError('not_found')
      const subscription = { id: uuidv7(), studentId, courseId: course.id, createdAt: clock.now() }
      await db.transaction().execute(async (trx) => {
        if ((await shareCourse(trx, course.id)) === undefined) throw new ApiError('not_found')
        await insertSubscription(trx, subscription, course.createdAt)
        await settleTallies(trx, course.id, [studentId])
        await countSubscriptions(trx, course.id, [studentId], 1)
      })
      toMedia.forgetAll()
      return subscription
    },

    /** Access ends at once. Throws `not_found` if there was no subscription. */
    async unsubscribe (studentId: string, id: string): Promise<void> {
      const course = await findCourse(db, id)
      if (course === undefined) throw new ApiError('not_found')
      const found = await db.transaction().execute(async (trx) => {
        if (!(await deleteSubscription(trx, studentId, course.id))) return false
        await settleTallies(trx, course.id, [studentId])
        await countSubscriptions(trx, course.id, [studentId], -1)
        return true
      })
      toMedia.forgetAll()
      if (!found) throw new ApiError('not_found')
    },

    /**
     * The course that a student is subscribed to. Throws `not_found` for an unknown one, `not_subscribed` for a student
     * without it.
     */
    async require (studentId: string, id: string): Promise<Course> {
      const course = await findCourse(db, id)
      if (course === undefined) throw new ApiError('not_found')
      if (!(await findSubscribed(db, studentId, course.id))) throw new ApiError('not_subscribed')
      return course
    },

    /** Whether a student is subscribed to a course that holds a media, at most a second ago. */
    coversMedia: async (studentId: string, mediaId: string, since?: number): Promise<boolean> => {
      return (await toMedia.get(`${studentId} ${mediaId}`, since)) === true
    }
  }
}
