import { SqliteAdapter, sql, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .alterTable('media')
    .addColumn('provider', 'text', (column) => column.notNull().defaultTo('local'))
    .execute()
  await db.schema.alterTable('media').addColumn('mux_upload_id', 'text').execute()
  await db.schema.alterTable('media').addColumn('mux_asset_id', 'text').execute()
  await db.schema.alterTable('media').addColumn('mux_playback_id', 'text').execute()
  await db.schema.alterTable('media').addColumn('mux_policy', 'text').execute()
  await db.schema.createIndex('media_by_mux_upload').on('media').column('mux_upload_id').execute()
  await db.schema.createIndex('media_by_mux_asset').on('media').column('mux_asset_id').execute()

  // A job can now outlive its media, to delete the asset at Mux. SQLite cannot drop a NOT NULL constraint, so the
  // migration creates the table again.
  await db.schema.dropIndex('jobs_by_time').execute()
  await db.schema.alterTable('jobs').renameTo('jobs_before_005').execute()
  await db.schema
    .createTable('jobs')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('media_id', id, (column) => column.unique().references('media.id').onDelete('cascade'))
    .addColumn('removal', 'text')
    .addColumn('run_after', 'bigint', (column) => column.notNull())
    .addColumn('failures', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await sql`insert into jobs (id, kind, media_id, run_after, failures, attempts, created_at)
    select id, 'package', media_id, run_after, failures, attempts, created_at from jobs_before_005`.execute(db)
  await db.schema.dropTable('jobs_before_005').execute()
  await db.schema.createIndex('jobs_by_time').on('jobs').columns(['kind', 'run_after']).execute()

  await db.schema
    .createTable('mux_events')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('received_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('mux_events_by_time').on('mux_events').column('received_at').execute()
}
