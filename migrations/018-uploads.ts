import { SqliteAdapter, type Kysely } from 'kysely'

/** Resumable uploads. An open upload names its draft, and its declared size counts in the quota of its owner. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('uploads')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('owner_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('uploader_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('draft_name', 'text', (column) => column.notNull().unique())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('metadata', 'text')
    .addColumn('size_bytes', 'bigint', (column) => column.notNull())
    .addColumn('offset_bytes', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('parts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('holder', id)
    .addColumn('wanted_by', id)
    .addColumn('beat', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('is_open', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('media_id', id)
    .addColumn('error_code', 'text')
    .addColumn('error_detail', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createIndex('uploads_by_uploader')
    .on('uploads')
    .columns(['uploader_id', 'is_open', 'id'])
    .execute()
  await db.schema
    .createIndex('uploads_by_owner')
    .on('uploads')
    .columns(['owner_id', 'is_open', 'size_bytes'])
    .execute()
  await db.schema.createIndex('uploads_by_age').on('uploads').columns(['is_open', 'updated_at']).execute()
  await db.schema.createIndex('uploads_by_expiry').on('uploads').column('expires_at').execute()
}
