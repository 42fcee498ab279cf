import { SqliteAdapter, type Kysely } from 'kysely'

/**
 * Stores the time of the last counted view by access token, for each account, address and media. A periodic task
 * deletes rows older than 30 minutes.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('token_views')
    .addColumn('media_id', id, (column) => column.notNull().references('media.id').onDelete('cascade'))
    .addColumn('account_id', id, (column) => column.notNull())
    .addColumn('address_key', 'text', (column) => column.notNull())
    .addColumn('viewed_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('token_views_key', ['media_id', 'account_id', 'address_key'])
    .execute()
  await db.schema.createIndex('token_views_by_age').on('token_views').column('viewed_at').execute()
}
