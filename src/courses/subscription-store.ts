import type { Kysely, Transaction } from 'kysely'
import { foreignKeyViolation, uniqueViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Subscription } from './schema.js'

/** Throws `already_subscribed`, or `not_found` for a course that is gone. */
export async function insertSubscription (db: Kysely<Database>, { id, studentId, courseId, createdAt }: Subscription): Promise<void> {
  try {
    await db.insertInto('subscriptions').values({ id, student_id: studentId, course_id: courseId, created_at: createdAt }).execute()
  } catch (error) {
    if (uniqueViolation(error) !== undefined) throw new ApiError('already_subscribed', { cause: error })
    if (foreignKeyViolation(error)) throw new ApiError('not_found', { cause: error })
    throw error
  }
}

export async function findSubscribed (db: Kysely<Database>, studentId: string, courseId: string): Promise<boolean> {
  return await db.selectFrom('subscriptions').select('id').where('student_id', '=', studentId).where('course_id', '=', courseId).executeTakeFirst() !== undefined
}

/** Whether a student is subscribed to a course that holds a media. */
export async function findSubscribedToMedia (db: Kysely<Database>, studentId: string, mediaId: string): Promise<boolean> {
  return await db.selectFrom('lectures').innerJoin('subscriptions', 'subscriptions.course_id', 'lectures.course_id').select('subscriptions.id')
    .where('media_id', '=', mediaId).where('student_id', '=', studentId).executeTakeFirst() !== undefined
}

export async function findSubscriberCount (db: Kysely<Database>, courseId: string): Promise<number> {
  const { count } = await db.selectFrom('subscriptions').select((select) => select.fn.countAll<number>().as('count')).where('course_id', '=', courseId).executeTakeFirstOrThrow()
  return count
}

/** False if there was none. */
export async function deleteSubscription (db: Kysely<Database>, studentId: string, courseId: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('subscriptions').where('student_id', '=', studentId).where('course_id', '=', courseId).executeTakeFirst()
  return numDeletedRows > 0n
}

export async function deleteSubscriptionsOfCourse (trx: Transaction<Database>, courseId: string): Promise<void> {
  await trx.deleteFrom('subscriptions').where('course_id', '=', courseId).execute()
}
