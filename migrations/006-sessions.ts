import { SqliteAdapter, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('sessions')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('account_id', id, (column) => column.notNull().references('accounts.id').onDelete('cascade'))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createIndex('sessions_by_account')
    .on('sessions')
    .columns(['account_id', 'created_at', 'id'])
    .execute()
  await db.schema.createIndex('sessions_by_end').on('sessions').column('expires_at').execute()

  await db.schema
    .createTable('refresh_tokens')
    .addColumn('token_hash', 'text', (column) => column.primaryKey())
    .addColumn('session_id', id, (column) => column.notNull().references('sessions.id').onDelete('cascade'))
    .addColumn('rotated', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('refresh_tokens_by_session').on('refresh_tokens').column('session_id').execute()
  await db.schema.createIndex('refresh_tokens_by_end').on('refresh_tokens').column('expires_at').execute()

  await db.schema.createIndex('accounts_by_age').on('accounts').columns(['created_at', 'id']).execute()
}
