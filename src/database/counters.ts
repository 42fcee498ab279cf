import { type Kysely, type Transaction } from 'kysely'
import type { Database } from './tables.js'

// These rows hold the totals of lists and the bytes of accounts, so that no request counts the rows of a table.

/** Returns the names of the counters that include a media. */
export function mediaCounters ({ ownerId, type }: { ownerId: string; type: string }): string[] {
  return ['media', `media:${type}`, `media:${ownerId}`, `media:${ownerId}:${type}`]
}

export const bytesCounter = (ownerId: string): string => `bytes:${ownerId}`
/** Renditions do not count against the quota, so they have a counter of their own. */
export const renditionBytesCounter = (ownerId: string): string => `rendition-bytes:${ownerId}`
export const courseCounters = (ownerId: string): string[] => ['courses', `courses:${ownerId}`]
export const subscriptionsCounter = (studentId: string): string => `subscriptions:${studentId}`
export const subscribersCounter = (courseId: string): string => `subscribers:${courseId}`

/**
 * Adds changes to counters by name. Call it once in a transaction, as the last lock. It locks the rows in the order of
 * their names, so that transactions cannot deadlock.
 */
export async function addToCounters (trx: Transaction<Database>, changes: Map<string, number>): Promise<void> {
  const rows = [...changes].filter(([, change]) => change !== 0).map(([name, value]) => ({ name, value }))
  if (rows.length === 0) return
  await trx
    .insertInto('counters')
    .values(rows.sort((a, b) => (a.name < b.name ? -1 : 1)))
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet((set) => ({ value: set('counters.value', '+', set.ref('excluded.value')) }))
    )
    .execute()
}

/** Adds `by` to the changes of several counters. */
export function addTo (changes: Map<string, number>, names: string[], by: number): Map<string, number> {
  for (const name of names) changes.set(name, (changes.get(name) ?? 0) + by)
  return changes
}

/** Returns the value of a counter; 0 if it has no row. */
export async function findCounter (db: Kysely<Database>, name: string): Promise<number> {
  return (await db.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirst())?.value ?? 0
}
