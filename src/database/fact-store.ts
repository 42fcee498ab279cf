import type { Kysely } from 'kysely'
import type { Database } from './tables.js'

/** Returns a fact of this installation, by its name. */
export async function findFact (db: Kysely<Database>, name: string): Promise<string | undefined> {
  return (await db.selectFrom('server_facts').select('value').where('name', '=', name).executeTakeFirst())?.value
}

/** Inserts a fact of this installation, or replaces its value. */
export async function upsertFact (db: Kysely<Database>, name: string, value: string): Promise<void> {
  await db
    .insertInto('server_facts')
    .values({ name, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute()
}
