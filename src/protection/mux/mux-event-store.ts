import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../../database/tables.js'

/** Remembers an event. False if it is known: then another transaction has dealt with it, and has been committed. */
export async function insertMuxEvent (trx: Transaction<Database>, id: string, now: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('mux_events')
    .values({ id, received_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return (numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Forgets the events that came before a moment. */
export async function deleteMuxEvents (db: Kysely<Database>, before: number): Promise<void> {
  await db.deleteFrom('mux_events').where('received_at', '<', before).execute()
}
