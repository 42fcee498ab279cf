import { SqliteAdapter, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('courses')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('owner_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('premium', 'integer', (column) => column.notNull())
    .addColumn('duration_ms', 'bigint', (column) => column.notNull())
    .addColumn('lectures_count', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('courses_by_age').on('courses').columns(['created_at', 'id']).execute()
  await db.schema.createIndex('courses_by_owner').on('courses').columns(['owner_id', 'created_at', 'id']).execute()

  await db.schema
    .createTable('lectures')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('course_id', id, (column) => column.notNull().references('courses.id'))
    // No cascade: the database must refuse to delete a media that a lecture uses.
    .addColumn('media_id', id, (column) => column.notNull().unique().references('media.id'))
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('category', 'text', (column) => column.notNull())
    .addColumn('subcategory', 'text', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('lectures_by_course').on('lectures').columns(['course_id', 'position']).execute()

  await db.schema
    .createTable('subscriptions')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('student_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('course_id', id, (column) => column.notNull().references('courses.id'))
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('one_subscription_each', ['student_id', 'course_id'])
    .execute()
  await db.schema.createIndex('subscriptions_by_course').on('subscriptions').column('course_id').execute()

  await db.schema
    .createTable('lecture_progress')
    .addColumn('lecture_id', id, (column) => column.notNull().references('lectures.id').onDelete('cascade'))
    .addColumn('student_id', id, (column) => column.notNull().references('accounts.id'))
    .addColumn('position_ms', 'bigint', (column) => column.notNull())
    .addColumn('watched_ms', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('lecture_progress_key', ['lecture_id', 'student_id'])
    .execute()
}
