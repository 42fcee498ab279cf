import type { Kysely } from 'kysely'

/** Which secrets each running process signs with and knows, by their public ids. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('server_processes')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('current_key', 'text', (column) => column.notNull())
    .addColumn('known_keys', 'text', (column) => column.notNull())
    .addColumn('seen_at', 'bigint', (column) => column.notNull())
    .execute()
}
