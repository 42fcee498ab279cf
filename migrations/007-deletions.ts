import { SqliteAdapter, sql, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  // A deletion first marks the row, which hides it at once. A job then deletes the dependent data, and the row last.
  for (const table of ['media', 'lectures', 'courses']) {
    await db.schema.alterTable(table).addColumn('deleted_at', 'bigint').execute()
  }
  await db.schema
    .createIndex('courses_deleted')
    .on('courses')
    .column('id')
    .where(sql.ref('deleted_at'), 'is not', null)
    .execute()

  await db.schema
    .alterTable('jobs')
    .addColumn('course_id', id, (column) => column.references('courses.id').onDelete('cascade'))
    .execute()
  await db.schema.createIndex('jobs_by_course').unique().on('jobs').column('course_id').execute()
  await db.schema.dropIndex('jobs_by_time').execute()
  await db.schema.createIndex('jobs_due').on('jobs').columns(['kind', 'attempts', 'run_after']).execute()
}
