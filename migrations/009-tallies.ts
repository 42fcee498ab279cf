import { SqliteAdapter, sql, type Kysely } from 'kysely'

export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema
    .createTable('lecture_tallies')
    .addColumn('lecture_id', id, (column) => column.primaryKey().references('lectures.id').onDelete('cascade'))
    .addColumn('started', 'bigint', (column) => column.notNull())
    .addColumn('completed', 'bigint', (column) => column.notNull())
    .addColumn('stopped', 'bigint', (column) => column.notNull())
    .execute()
  for (const flag of ['started', 'completed', 'stopped']) {
    await db.schema
      .alterTable('lecture_progress')
      .addColumn(flag, 'integer', (column) => column.notNull().defaultTo(0))
      .execute()
  }

  // `completed`: the subscriber watched at least 9/10 of the lecture. `stopped`: the lecture is the furthest that the
  // subscriber started, and it is not completed.
  await sql`create table tallies_009 as
    select lecture_id, student_id, completed,
      case when position = furthest and completed = 0 then 1 else 0 end as stopped
    from (
      select p.lecture_id, p.student_id, l.position,
        case when p.watched_ms * 10 >= m.duration_ms * 9 then 1 else 0 end as completed,
        max(l.position) over (partition by l.course_id, p.student_id) as furthest
      from lecture_progress p
      join lectures l on l.id = p.lecture_id
      join media m on m.id = l.media_id
      join subscriptions s on s.course_id = l.course_id and s.student_id = p.student_id
    ) as reports`.execute(db)
  await sql`create index tallies_009_key on tallies_009 (lecture_id, student_id)`.execute(db)
  await sql`update lecture_progress set started = 1, completed = t.completed, stopped = t.stopped
    from tallies_009 t
    where t.lecture_id = lecture_progress.lecture_id and t.student_id = lecture_progress.student_id`.execute(db)
  await sql`insert into lecture_tallies (lecture_id, started, completed, stopped)
    select lecture_id, count(*), sum(completed), sum(stopped) from tallies_009 group by lecture_id`.execute(db)
  await db.schema.dropTable('tallies_009').execute()
}
