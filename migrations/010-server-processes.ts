import type { Kysely } from 'kysely'

/**
 * Stores two facts for each running process: the id of its signing secret, and the ids of all secrets it can verify.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('server_processes')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('current_key', 'text', (column) => column.notNull())
    .addColumn('known_keys', 'text', (column) => column.notNull())
    .addColumn('seen_at', 'bigint', (column) => column.notNull())
    .execute()
}
