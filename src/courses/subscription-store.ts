import type { Kysely, Transaction } from 'kysely'
import { addToCounters, subscribersCounter, subscriptionsCounter } from '../database/counters.js'
import { engineOf, foreignKeyViolation, uniqueViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Subscription } from './schema.js'

/** **Throws** `already_subscribed`, or `not_found` if the course was deleted. */
export async function insertSubscription (
  db: Kysely<Database>,
  { id, studentId, courseId, createdAt }: Subscription,
  courseCreatedAt: number
): Promise<void> {
  try {
    await db
      .insertInto('subscriptions')
      .values({
        id,
        student_id: studentId,
        course_id: courseId,
        created_at: createdAt,
        course_created_at: courseCreatedAt
      })
      .execute()
  } catch (error) {
    if (uniqueViolation(error) !== undefined) throw new ApiError('already_subscribed', { cause: error })
    if (foreignKeyViolation(error)) throw new ApiError('not_found', { cause: error })
    throw error
  }
}

export async function findSubscribed (db: Kysely<Database>, studentId: string, courseId: string): Promise<boolean> {
  return (
    (await db
      .selectFrom('subscriptions')
      .select('id')
      .where('student_id', '=', studentId)
      .where('course_id', '=', courseId)
      .executeTakeFirst()) !== undefined
  )
}

/** Returns whether a student is subscribed to the course of a media. */
export async function findSubscribedToMedia (
  db: Kysely<Database>,
  studentId: string,
  mediaId: string
): Promise<boolean> {
  return (
    (await db
      .selectFrom('lectures')
      .innerJoin('subscriptions', 'subscriptions.course_id', 'lectures.course_id')
      .select('subscriptions.id')
      .where('media_id', '=', mediaId)
      .where('lectures.deleted_at', 'is', null)
      .where('student_id', '=', studentId)
      .executeTakeFirst()) !== undefined
  )
}

/** Locks a subscription, if it exists, until the transaction ends. */
export async function lockSubscription (
  trx: Transaction<Database>,
  studentId: string,
  courseId: string
): Promise<void> {
  if (engineOf(trx) === 'sqlite') return
  await trx
    .selectFrom('subscriptions')
    .select('id')
    .where('student_id', '=', studentId)
    .where('course_id', '=', courseId)
    .forUpdate()
    .execute()
}

/** Returns at most `max` subscribers of a course after `afterId`, in the order of their ids. */
export async function listSubscribers (
  db: Kysely<Database>,
  courseId: string,
  afterId: string | undefined,
  max: number
): Promise<string[]> {
  const rows = await db
    .selectFrom('subscriptions')
    .select('student_id')
    .where('course_id', '=', courseId)
    .$if(afterId !== undefined, (query) => query.where('student_id', '>', afterId!))
    .orderBy('student_id')
    .limit(max)
    .execute()
  return rows.map((row) => row.student_id)
}

/** Locks the subscriptions of some students to a course. */
export async function lockSubscribers (
  trx: Transaction<Database>,
  courseId: string,
  studentIds: string[]
): Promise<void> {
  if (engineOf(trx) === 'sqlite' || studentIds.length === 0) return
  await trx
    .selectFrom('subscriptions')
    .select('id')
    .where('course_id', '=', courseId)
    .where('student_id', 'in', studentIds)
    .orderBy('student_id')
    .forUpdate()
    .execute()
}

/** Counts new (1) or ended (-1) subscriptions to a course. Must be the last step of its transaction. */
export async function countSubscriptions (
  trx: Transaction<Database>,
  courseId: string,
  studentIds: string[],
  by: 1 | -1
): Promise<void> {
  const changes = new Map(studentIds.map((id) => [subscriptionsCounter(id), by as number]))
  await addToCounters(trx, changes.set(subscribersCounter(courseId), by * studentIds.length))
}

/** Returns false if the subscription does not exist. */
export async function deleteSubscription (db: Kysely<Database>, studentId: string, courseId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('subscriptions')
    .where('student_id', '=', studentId)
    .where('course_id', '=', courseId)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Deletes at most `max` subscriptions to a course. Returns the ids of their students. */
export async function deleteSubscriptions (
  trx: Transaction<Database>,
  courseId: string,
  max: number
): Promise<string[]> {
  const some = trx.selectFrom('subscriptions').select('id').where('course_id', '=', courseId).limit(max)
  const rows = await trx.deleteFrom('subscriptions').where('id', 'in', some).returning('student_id').execute()
  return rows.map((row) => row.student_id)
}
