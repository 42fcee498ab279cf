import { SqliteAdapter, sql, type Kysely } from 'kysely'

/**
 * One query for each counter, with its value at the time of the migration. src/database/counters.ts defines the names.
 */
const COUNTED = [
  "select 'accounts', count(*) from accounts",
  "select 'courses', count(*) from courses where deleted_at is null",
  "select 'courses:' || owner_id, count(*) from courses where deleted_at is null group by owner_id",
  "select 'media', count(*) from media where deleted_at is null",
  "select 'media:' || type, count(*) from media where deleted_at is null group by type",
  "select 'media:' || owner_id, count(*) from media where deleted_at is null group by owner_id",
  "select 'media:' || owner_id || ':' || type, count(*) from media where deleted_at is null group by owner_id, type",
  "select 'bytes:' || owner_id, coalesce(sum(size_bytes), 0) from media where deleted_at is null group by owner_id",
  "select 'subscriptions:' || student_id, count(*) from subscriptions group by student_id",
  "select 'subscribers:' || course_id, count(*) from subscriptions group by course_id"
]

export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('counters')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute()
  for (const query of COUNTED) await sql`insert into counters (name, value) ${sql.raw(query)}`.execute(db)

  // List queries read only these indexes. Without the condition, they must also read the row of each skipped entry.
  for (const [table, name, columns] of [
    ['courses', 'courses_by_age', ['created_at', 'id']],
    ['courses', 'courses_by_owner', ['owner_id', 'created_at', 'id']],
    ['media', 'media_by_age', ['created_at', 'id']],
    ['media', 'media_by_owner', ['owner_id', 'created_at', 'id']]
  ] as const) {
    await db.schema.dropIndex(name).execute()
    await db.schema
      .createIndex(name)
      .on(table)
      .columns([...columns])
      .where(sql.ref('deleted_at'), 'is', null)
      .execute()
  }
  await db.schema
    .createIndex('media_by_type')
    .on('media')
    .columns(['type', 'created_at', 'id'])
    .where(sql.ref('deleted_at'), 'is', null)
    .execute()
  await db.schema
    .createIndex('media_by_owner_and_type')
    .on('media')
    .columns(['owner_id', 'type', 'created_at', 'id'])
    .where(sql.ref('deleted_at'), 'is', null)
    .execute()
  await db.schema.createIndex('courses_premium').on('courses').column('id').where(sql.ref('premium'), '=', 1).execute()

  // The list of a student's courses is sorted by the creation time of the course.
  await db.schema
    .alterTable('subscriptions')
    .addColumn('course_created_at', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
  await sql`update subscriptions
    set course_created_at = (select created_at from courses where courses.id = course_id)`.execute(db)
  await db.schema
    .createIndex('subscriptions_by_student')
    .on('subscriptions')
    .columns(['student_id', 'course_created_at', 'course_id'])
    .execute()
  await db.schema.dropIndex('subscriptions_by_course').execute()
  await db.schema
    .createIndex('subscriptions_by_course')
    .on('subscriptions')
    .columns(['course_id', 'student_id'])
    .execute()
  // Postgres plans queries with table statistics, which it does not have yet for the new indexes and the new table.
  if (!(db.getExecutor().adapter instanceof SqliteAdapter)) {
    await sql`analyze counters, courses, media, subscriptions`.execute(db)
  }
}
