import { SqliteAdapter, type Kysely } from 'kysely'

/** The text is the last column: SQLite reads the columns before it without the pages of a long text. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('captions')
    .addColumn('media_id', id, (column) => column.notNull().references('media.id').onDelete('cascade'))
    .addColumn('language', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('label', 'text', (column) => column.notNull())
    .addColumn('is_default', 'integer', (column) => column.notNull())
    .addColumn('cues', 'integer', (column) => column.notNull())
    .addColumn('sha256', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('text', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('captions_key', ['media_id', 'language'])
    .execute()
  await db.schema
    .createTable('chapters')
    .addColumn('media_id', id, (column) => column.primaryKey().references('media.id').onDelete('cascade'))
    .addColumn('list', 'text', (column) => column.notNull())
    .execute()
  await db.schema.alterTable('package_indexes').addColumn('zero_ticks', 'integer').execute()
}
