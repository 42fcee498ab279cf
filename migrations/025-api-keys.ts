import { SqliteAdapter, type Kysely } from 'kysely'

/** API keys of accounts. A key is found by its hash, so an unknown key and a wrong key are the same query. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'
  await db.schema
    .createTable('api_keys')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('account_id', id, (column) => column.notNull().references('accounts.id').onDelete('cascade'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('key_hash', 'text', (column) => column.notNull())
    .addColumn('scopes', 'text', (column) => column.notNull())
    .addColumn('addresses', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('last_used_at', 'bigint')
    .execute()
  await db.schema.createIndex('api_keys_by_hash').unique().on('api_keys').column('key_hash').execute()
  await db.schema
    .createIndex('api_keys_by_account')
    .on('api_keys')
    .columns(['account_id', 'created_at', 'id'])
    .execute()
}
