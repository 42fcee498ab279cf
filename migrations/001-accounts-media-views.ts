import { sql, SqliteAdapter, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const sqlite = db.getExecutor().adapter instanceof SqliteAdapter
  const id = sqlite ? 'text' : 'uuid'

  await db.schema
    .createTable('accounts')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('email', 'text', (column) => column.notNull())
    .addColumn('email_key', 'text', (column) => column.notNull().unique())
    .addColumn('password_hash', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull().check(sql`role in ('admin', 'instructor', 'student')`))
    .addColumn('first_name', 'text')
    .addColumn('last_name', 'text')
    .addColumn('date_of_birth', 'text')
    .addColumn('mobile_number', 'text', (column) => column.unique())
    .addColumn('disabled', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()

  await db.schema
    .createTable('media')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('owner_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull().check(sql`type in ('video', 'audio')`))
    .addColumn('visibility', 'text', (column) => column.notNull().check(sql`visibility in ('private', 'public')`))
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('file_url', 'text')
    .addColumn('blob_name', 'text', (column) => column.unique())
    .addColumn('content_type', 'text')
    .addColumn('size_bytes', 'bigint')
    .addColumn('sha256', 'text')
    .addColumn('duration_ms', 'bigint')
    .addColumn('width', 'integer')
    .addColumn('height', 'integer')
    .addColumn('codecs', 'text', (column) => column.notNull())
    .addColumn('generation', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addCheckConstraint('media_has_one_source', sql`(file_url is null) <> (blob_name is null)`)
    .execute()
  await db.schema.createIndex('media_by_owner').on('media').columns(['owner_id', 'created_at', 'id']).execute()
  await db.schema.createIndex('media_by_age').on('media').columns(['created_at', 'id']).execute()

  await db.schema
    .createTable('views')
    .addColumn('id', sqlite ? 'integer' : 'bigserial', (column) => column.primaryKey())
    .addColumn('media_id', id, (column) => column.notNull().references('media.id').onDelete('cascade'))
    .addColumn('link_id', id)
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('address_key', 'text', (column) => column.notNull())
    .addColumn('account_id', id)
    .addColumn('user_agent', 'text')
    .addColumn('viewed_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('views_by_media').on('views').columns(['media_id', 'viewed_at', 'id']).execute()
  await db.schema.createIndex('views_by_age').on('views').column('viewed_at').execute()
  await db.schema
    .createIndex('one_view_per_link_and_address')
    .unique()
    .on('views')
    .columns(['link_id', 'address_key'])
    .where(sql.ref('link_id'), 'is not', null)
    .execute()

  await db.schema
    .createTable('view_totals')
    .addColumn('media_id', id, (column) => column.primaryKey().references('media.id').onDelete('cascade'))
    .addColumn('total_views', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('unique_viewers', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('revision', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()

  await db.schema
    .createTable('view_days')
    .addColumn('media_id', id, (column) => column.notNull().references('media.id').onDelete('cascade'))
    .addColumn('day', 'integer', (column) => column.notNull())
    .addColumn('views', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('view_days_key', ['media_id', 'day'])
    .execute()

  await db.schema
    .createTable('view_viewers')
    .addColumn('media_id', id, (column) => column.notNull().references('media.id').onDelete('cascade'))
    .addColumn('address_key', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('view_viewers_key', ['media_id', 'address_key'])
    .execute()

  await db.schema
    .createTable('server_facts')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute()
}
