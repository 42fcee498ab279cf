import type { Test } from 'tap'
import type { TestApp } from './test-app.js'

const COUNTERS = `
  select 'accounts' as name, count(*) as value from accounts
  union all select 'courses', count(*) from courses where deleted_at is null
  union all select 'courses:' || owner_id, count(*) from courses where deleted_at is null group by owner_id
  union all select 'media', count(*) from media where deleted_at is null
  union all select 'media:' || type, count(*) from media where deleted_at is null group by type
  union all select 'media:' || owner_id, count(*) from media where deleted_at is null group by owner_id
  union all select 'media:' || owner_id || ':' || type, count(*)
    from media where deleted_at is null group by owner_id, type
  union all select 'bytes:' || owner_id, coalesce(sum(size_bytes), 0)
    from media where deleted_at is null group by owner_id
  union all select 'subscriptions:' || student_id, count(*) from subscriptions group by student_id
  union all select 'subscribers:' || course_id, count(*) from subscriptions group by course_id`

/** Counted from the progress rows, whatever the tallies say. */
const TALLIES = `
  select lecture_id, count(*) as started, sum(completed) as completed,
    sum(case when position = furthest and completed = 0 then 1 else 0 end) as stopped
  from (
    select p.lecture_id, l.position, max(l.position) over (partition by l.course_id, p.student_id) as furthest,
      case when m.duration_ms > 0 and p.watched_ms * 10 >= m.duration_ms * 9 then 1 else 0 end as completed
    from lecture_progress p
    join lectures l on l.id = p.lecture_id and l.deleted_at is null
    join media m on m.id = l.media_id
    join subscriptions s on s.course_id = l.course_id and s.student_id = p.student_id
  ) as reports group by lecture_id`

type Row = Record<string, string | number>
const numbers = (rows: Row[]) =>
  rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([key, value]) => [key, /^\d+$/.test(String(value)) ? Number(value) : value])
    )
  )

/** Compares the counters of all lists, and the tallies of all courses, with the rows they count. */
export async function figuresAgree (t: Test, server: Pick<TestApp, 'query'>, when: string): Promise<void> {
  const counters = await server.query<Row>('select name, value from counters where value <> 0 order by name')
  const counted = await server.query<Row>(
    `select name, value from (${COUNTERS}) as counted where value <> 0 order by name`
  )
  const byName = (rows: Row[]) => Object.fromEntries(numbers(rows).map(({ name, value }) => [name, value]))
  t.same(byName(counters), byName(counted), `${when}: counters`)
  const tallies = await server.query<Row>(
    'select lecture_id, started, completed, stopped from lecture_tallies where started > 0 order by lecture_id'
  )
  t.same(numbers(tallies), numbers(await server.query<Row>(`${TALLIES} order by lecture_id`)), `${when}: tallies`)
}
