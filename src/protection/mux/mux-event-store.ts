import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../../database/tables.js'

/** Inserts an event. Returns false if it exists: another transaction then handled the event and committed. */
export async function insertMuxEvent (trx: Transaction<Database>, id: string, now: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('mux_events')
    .values({ id, received_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return (numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Deletes the events received before `before`, in epoch milliseconds. */
export async function deleteMuxEvents (db: Kysely<Database>, before: number): Promise<void> {
  await db.deleteFrom('mux_events').where('received_at', '<', before).execute()
}
