import { SqliteAdapter, sql, type Kysely } from 'kysely'

/** Stores upload grants. A periodic task deletes grants 30 days after their expiry. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('upload_grants')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('account_id', id, (column) => column.notNull().references('accounts.id').onDelete('cascade'))
    .addColumn('owner_id', id, (column) => column.notNull().references('accounts.id').onDelete('cascade'))
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('max_bytes', 'bigint', (column) => column.notNull())
    .addColumn('origin', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('holder', id)
    .addColumn('lease_until', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('media_id', id)
    .execute()
  await db.schema.createIndex('upload_grants_by_account').on('upload_grants').columns(['account_id', 'id']).execute()
  await db.schema
    .createIndex('upload_grants_by_owner')
    .on('upload_grants')
    .columns(['owner_id', 'expires_at'])
    .where(sql.ref('media_id'), 'is', null)
    .where(sql.ref('revoked_at'), 'is', null)
    .execute()
  await db.schema.createIndex('upload_grants_by_expiry').on('upload_grants').column('expires_at').execute()
}
