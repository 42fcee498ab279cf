import { SqliteAdapter, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .alterTable('media')
    .addColumn('protection', 'text', (column) => column.notNull().defaultTo('none'))
    .execute()
  await db.schema
    .alterTable('media')
    .addColumn('progress', 'integer', (column) => column.notNull().defaultTo(100))
    .execute()
  await db.schema.alterTable('media').addColumn('error_code', 'text').execute()
  await db.schema.alterTable('media').addColumn('error_message', 'text').execute()
  await db.schema.alterTable('media').addColumn('package_blob', 'text').execute()
  await db.schema.alterTable('media').addColumn('package_index', 'text').execute()
  await db.schema.alterTable('media').addColumn('content_key', 'text').execute()
  await db.schema.alterTable('media').addColumn('poster_blob', 'text').execute()
  await db.schema.createIndex('media_by_poster').on('media').column('poster_blob').execute()
  await db.schema.createIndex('media_by_package').on('media').column('package_blob').execute()

  await db.schema
    .createTable('jobs')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('media_id', id, (column) => column.notNull().unique().references('media.id').onDelete('cascade'))
    .addColumn('run_after', 'bigint', (column) => column.notNull())
    .addColumn('failures', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('jobs_by_time').on('jobs').column('run_after').execute()
}
