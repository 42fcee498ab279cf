import { SqliteAdapter, type Kysely } from 'kysely'

/** Links by which a person sets a new password once. An account has at most one. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'
  await db.schema
    .createTable('reset_links')
    .addColumn('account_id', id, (column) => column.primaryKey().references('accounts.id').onDelete('cascade'))
    .addColumn('token_hash', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('reset_links_by_hash').unique().on('reset_links').column('token_hash').execute()
  await db.schema.createIndex('reset_links_by_end').on('reset_links').column('expires_at').execute()
}
