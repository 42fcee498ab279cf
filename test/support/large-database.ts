import { sql, type Kysely } from 'kysely'
import type { Database } from '../../src/database/tables.js'
import { DAY } from '../../src/time.js'
import { newClass, type Course } from './courses.js'
import { engine, type TestApp } from './test-app.js'
import { signUp, type Person } from './client.js'

export interface Sizes {
  courses: number
  /** Each has reported on ten lectures. */
  students: number
  media: number
  views: number
}

/** Who is there: an administrator with a course of ten lectures, a student of it, and an instructor. */
export interface LargeDatabase {
  owner: Person
  student: Person
  teacher: Person
  course: Course
  mediaId: string
}

/** Fills a fresh server. The courses are the owner's, the other media the teacher's. */
export async function fillDatabase (server: TestApp, sizes: Sizes): Promise<LargeDatabase> {
  const owner = await signUp(server)
  const { course, lectures, student } = await newClass(
    server,
    owner,
    Array.from({ length: 10 }, () => 'tiny.ogg')
  )
  const teacher = await signUp(server)
  const mediaId = lectures[0]!.asset_id
  const { db } = server.app
  await insertCourses(db, owner, sizes.courses)
  await insertStudents(
    db,
    course.id,
    lectures.map(({ id }) => id),
    sizes.students
  )
  await insertMedia(db, teacher, sizes.media)
  await insertViews(db, mediaId, sizes.views)
  if (engine === 'postgres') await sql`analyze`.execute(db)
  return { owner, student, teacher, course, mediaId }
}

const id = (kind: string) =>
  engine === 'sqlite'
    ? `'019377a4-3f${kind}-7000-8000-' || printf('%012d', n)`
    : `('019377a4-3f${kind}-7000-8000-' || lpad(n::text, 12, '0'))::uuid`
const literal = (text: string) => (engine === 'sqlite' ? `'${text}'` : `'${text}'::uuid`)
const numbers = (count: number) =>
  `(with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < ${count}) ` +
  'select n from numbers) as numbers'

async function run (db: Kysely<Database>, ...statements: string[]): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

async function insertCourses (db: Kysely<Database>, owner: Person, count: number): Promise<void> {
  await run(
    db,
    'insert into courses (id, owner_id, title, description, premium, duration_ms, lectures_count, created_at, ' +
      `updated_at) select ${id('02')}, ${literal(owner.id)}, 'Course ' || n, 'Text', 0, 0, 0, n, n ` +
      `from ${numbers(count)}`,
    `update counters set value = value + ${count} where name in ('courses', 'courses:${owner.id}')`
  )
}

async function insertStudents (
  db: Kysely<Database>,
  courseId: string,
  lectureIds: string[],
  count: number
): Promise<void> {
  const students = numbers(count)
  await run(
    db,
    'insert into accounts (id, email, email_key, password_hash, role, search_text, created_at) ' +
      `select ${id('01')}, 's' || n || '@example.org', 's' || n || '@example.org', 'x', 'student', ` +
      `'s' || n || '@example.org', n from ${students}`,
    'insert into subscriptions (id, student_id, course_id, created_at, course_created_at) ' +
      `select ${id('03')}, ${id('01')}, ${literal(courseId)}, n, 0 from ${students}`,
    ...lectureIds.map(
      (lectureId) =>
        'insert into lecture_progress (lecture_id, student_id, position_ms, watched_ms, updated_at, started) ' +
        `select ${literal(lectureId)}, ${id('01')}, 500, 500, n, 1 from ${students}`
    ),
    'insert into lecture_tallies select lecture_id, count(*), 0, 0 from lecture_progress group by lecture_id',
    `update counters set value = value + ${count} where name = 'accounts'`
  )
}

async function insertMedia (db: Kysely<Database>, owner: Person, count: number): Promise<void> {
  await run(
    db,
    'insert into media (id, owner_id, title, title_search, type, visibility, status, file_url, codecs, created_at, ' +
      `updated_at) select ${id('04')}, ${literal(owner.id)}, 'Talk ' || n, 'talk ' || n, 'video', 'public', 'ready', ` +
      `'https://cdn.example.org/' || n, '[]', n, n from ${numbers(count)}`
  )
}

/** All on one day, the longest that a page of the log skips. */
async function insertViews (db: Kysely<Database>, mediaId: string, count: number): Promise<void> {
  const day = 20_000
  const media = literal(mediaId)
  await run(
    db,
    'insert into views (media_id, address, address_key, viewed_at) ' +
      `select ${media}, '192.0.2.1', '192.0.2.1', ${day * DAY} + n from ${numbers(count)}`,
    `insert into view_days (media_id, day, views) values (${media}, ${day}, ${count})`,
    `update view_totals set total_views = ${count}, unique_viewers = 1 where media_id = ${media}`
  )
}
