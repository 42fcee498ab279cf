import { type Kysely, type Transaction } from 'kysely'
import type { Database } from './tables.js'

// Rows that hold the totals of lists and the bytes of accounts, so that no request counts a table.

/** The names of the counters that a media is part of. */
export function mediaCounters ({ ownerId, type }: { ownerId: string; type: string }): string[] {
  return ['media', `media:${type}`, `media:${ownerId}`, `media:${ownerId}:${type}`]
}

export const bytesCounter = (ownerId: string): string => `bytes:${ownerId}`
export const courseCounters = (ownerId: string): string[] => ['courses', `courses:${ownerId}`]
export const subscriptionsCounter = (studentId: string): string => `subscriptions:${studentId}`
export const subscribersCounter = (courseId: string): string => `subscribers:${courseId}`

/**
 * Changes counters by name. The last thing that a transaction locks, and once in each: the rows are locked in the order
 * of their names, so that transactions never wait for one another in a circle.
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

/** Adds the same to several counters. */
export function addTo (changes: Map<string, number>, names: string[], by: number): Map<string, number> {
  for (const name of names) changes.set(name, (changes.get(name) ?? 0) + by)
  return changes
}

/** 0 for a counter that nothing was added to. */
export async function findCounter (db: Kysely<Database>, name: string): Promise<number> {
  return (await db.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirst())?.value ?? 0
}
