import { sql, SqliteAdapter, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('package_indexes')
    .addColumn('media_id', id, (column) => column.primaryKey().references('media.id').onDelete('cascade'))
    .addColumn('blob_name', 'text', (column) => column.notNull())
    .addColumn('segments', 'text', (column) => column.notNull())
    .addColumn('codecs', 'text')
    .addColumn('frame_rate_thousandths', 'integer')
    .execute()
  await sql`
    insert into package_indexes (media_id, blob_name, segments)
    select id, package_blob, package_index from media where package_blob is not null and package_index is not null
  `.execute(db)
  await db.schema.alterTable('media').dropColumn('package_index').execute()
}
