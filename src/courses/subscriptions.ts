import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Attach } from '../database/attach.js'
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

interface SubscriptionsOptions {
  db: Kysely<Database>
  clock: Clock
}

/** Subscriptions of students to courses, and the access to media that subscriptions give. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  /** Keys are `<student id> <media id>`. The value is undefined if no subscription of the student covers the media. */
  readonly #coverage: RecordCache<true>

  constructor (options: SubscriptionsOptions) {
    const { db, clock } = options
    this.#options = options
    this.#coverage = new RecordCache(async (key) => {
      const [studentId, mediaId] = key.split(' ') as [string, string]
      return (await findSubscribedToMedia(db, studentId, mediaId)) || undefined
    }, clock)
  }

  /**
   * Subscribes a student to a course. `attach` adds rows in the same transaction. **Throws** `not_found`,
   * `already_subscribed`.
   */
  async subscribe (studentId: string, id: string, attach?: Attach<Subscription>): Promise<Subscription> {
    const { db, clock } = this.#options
    const course = await this.#findCourse(id)
    const subscription = { id: uuidv7(), studentId, courseId: course.id, createdAt: clock.now() }
    await db.transaction().execute(async (trx) => {
      if ((await shareCourse(trx, course.id)) === undefined) throw new ApiError('not_found')
      await insertSubscription(trx, subscription, course.createdAt)
      await attach?.(trx, subscription)
      await settleTallies(trx, course.id, [studentId])
      await countSubscriptions(trx, course.id, [studentId], 1)
    })
    this.#coverage.invalidateAll()
    return subscription
  }

  /** Ends a subscription. The student loses access at once. **Throws** `not_found`. */
  async unsubscribe (studentId: string, id: string): Promise<void> {
    const course = await this.#findCourse(id)
    const isDeleted = await this.#options.db.transaction().execute(async (trx) => {
      if (!(await deleteSubscription(trx, studentId, course.id))) return false
      await settleTallies(trx, course.id, [studentId])
      await countSubscriptions(trx, course.id, [studentId], -1)
      return true
    })
    this.#coverage.invalidateAll()
    if (!isDeleted) throw new ApiError('not_found')
  }

  /** Finds a course that a student is subscribed to. **Throws** `not_found`, `not_subscribed`. */
  async require (studentId: string, id: string): Promise<Course> {
    const course = await this.#findCourse(id)
    if (!(await findSubscribed(this.#options.db, studentId, course.id))) throw new ApiError('not_subscribed')
    return course
  }

  /** Returns whether a student is subscribed to the course of a media. The result may be one second old. */
  async coversMedia (studentId: string, mediaId: string, since?: number): Promise<boolean> {
    return (await this.#coverage.get(`${studentId} ${mediaId}`, since)) === true
  }

  async #findCourse (id: string): Promise<Course> {
    const course = await findCourse(this.#options.db, id)
    if (course === undefined) throw new ApiError('not_found')
    return course
  }
}
