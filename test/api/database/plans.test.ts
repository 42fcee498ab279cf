import { CompiledQuery, sql, type Compilable, type Kysely } from 'kysely'
import { readFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { accountPage, accountSearchStep } from '../../../src/accounts/account-store.js'
import { coursePages } from '../../../src/courses/course-list.js'
import { tallies } from '../../../src/courses/tally-store.js'
import { openDatabase } from '../../../src/database/open.js'
import type { Database } from '../../../src/database/tables.js'
import { mediaPage, mediaSearchStep } from '../../../src/media/media-list.js'
import { dueJob } from '../../../src/jobs/job-store.js'
import { buildTestApp, engine, signUp, type Person, type TestApp } from '../../support/test-app.js'
import { newClass } from '../../support/courses.js'
import { figure, sized } from '../../support/measures.js'

const id = '019377a4-3f00-7000-8000-000000000000'
const page = { size: 10, offset: 100, accountId: id, counter: 'courses' }
const place = { createdAt: 1, id }

/** Every list, search and analytics query, by what asks it. */
const queries: Record<string, (db: Kysely<Database>) => Compilable> = {
  'GET /course/all': (db) => coursePages.all.query(db, page),
  'GET /course/mine': (db) => coursePages.ofOwner.query(db, page),
  'GET /subscribe/my-courses': (db) => coursePages.ofStudent.query(db, page),
  'GET /course/{id}/analytics': (db) => tallies(db, [id]),
  'GET /media, an administrator': (db) => mediaPage(db, {}, 10, 100),
  'GET /media': (db) => mediaPage(db, { ownerId: id }, 10, 100),
  'GET /media?type=, an administrator': (db) => mediaPage(db, { type: 'video' }, 10, 100),
  'GET /media?type=': (db) => mediaPage(db, { ownerId: id, type: 'video' }, 10, 100),
  'GET /media?q=, a step of an administrator': (db) => mediaSearchStep(db, { titlePart: 'a' }, place, 10),
  'GET /media?q=, a step': (db) => mediaSearchStep(db, { ownerId: id, titlePart: 'a' }, place, 10),
  'GET /users': (db) => accountPage(db, 10, 100),
  'GET /users?q=, a step': (db) => accountSearchStep(db, 'a', place, 10),
  'the next job': (db) => dueJob(db, 'package', 1)
}

async function planOf (db: Kysely<Database>, query: Compilable): Promise<string[]> {
  const { sql: text, parameters } = query.compile()
  if (engine === 'sqlite') {
    const { rows } = await db.executeQuery<{ detail: string }>(
      CompiledQuery.raw(`explain query plan ${text}`, [...parameters])
    )
    return rows.map(({ detail }) => detail)
  }
  return await db.transaction().execute(async (trx) => {
    // Tables of a test are small: what is left of these has no index to use.
    for (const way of ['seqscan', 'bitmapscan', 'sort']) await sql.raw(`set local enable_${way} = off`).execute(trx)
    const { rows } = await trx.executeQuery<{ 'QUERY PLAN': string }>(
      CompiledQuery.raw(`explain (costs off) ${text}`, [...parameters])
    )
    return rows.map((row) => row['QUERY PLAN'])
  })
}

t.test(
  'no list, search or analytics query scans a table: its plan is the one that docs/performance.md shows',
  async (t) => {
    const server = await buildTestApp(t)
    const db = openDatabase(server.config.database)
    t.teardown(() => db.destroy())
    const docs = await readFile('docs/performance.md', 'utf8')
    for (const [name, query] of Object.entries(queries)) {
      const plan = await planOf(db, query(db))
      t.ok(plan.length > 0)
      t.same(
        plan.filter((line) => /Seq Scan|AUTOMATIC|SCAN (?!page\b|\w+ USING)/.test(line)),
        [],
        `${name}: ${plan.join('; ')}`
      )
      if (engine === 'sqlite') {
        t.ok(docs.includes(`| ${name} | ${plan.join('; ')} |`), `| ${name} | ${plan.join('; ')} |`)
      }
    }
  }
)

const COURSES = sized(2000, engine === 'sqlite' ? 200_000 : 1_000_000)
const STUDENTS = sized(1000, 100_000)

/** A course with ten lectures that every student has reported on, and many other courses. */
async function fill (server: TestApp): Promise<{ owner: Person; courseId: string }> {
  const owner = await signUp(server)
  const { course, lectures } = await newClass(
    server,
    owner,
    Array.from({ length: 10 }, () => 'tiny.ogg')
  )
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const key = (kind: string, n = 'n') =>
    engine === 'sqlite'
      ? `'019377a4-3f${kind}-7000-8000-' || printf('%012d', ${n})`
      : `('019377a4-3f${kind}-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`
  const numbers = (count: number) =>
    `(with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < ${count}) select n ` +
    'from numbers) as numbers'
  const cast = (text: string) => (engine === 'sqlite' ? `'${text}'` : `'${text}'::uuid`)
  const students = numbers(STUDENTS)
  for (const statement of [
    `insert into accounts (id, email, email_key, password_hash, role, created_at) select ${key('01')}, 's' || n || ` +
      `'@example.org', 's' || n || '@example.org', 'x', 'student', n from ${students}`,
    'insert into courses (id, owner_id, title, description, premium, duration_ms, lectures_count, created_at, ' +
      `updated_at) select ${key('02')}, ${cast(owner.id)}, 'Course ' || n, 'Text', 0, 0, 0, n, n from ` +
      `${numbers(COURSES)}`,
    `insert into subscriptions (id, student_id, course_id, created_at, course_created_at) select ${key('03')}, ` +
      `${key('01')}, ${cast(course.id)}, n, 0 from ${students}`,
    ...lectures.map(
      (lecture) =>
        'insert into lecture_progress (lecture_id, student_id, position_ms, watched_ms, updated_at, started) select ' +
        `${cast(lecture.id)}, ${key('01')}, 500, 500, n, 1 from ${students}`
    ),
    'insert into lecture_tallies select lecture_id, count(*), 0, 0 from lecture_progress group by lecture_id',
    `update counters set value = value + ${COURSES} where name in ('courses', 'courses:${owner.id}')`,
    ...(engine === 'sqlite' ? [] : ['analyze'])
  ]) {
    await sql.raw(statement).execute(db)
  }
  return { owner, courseId: course.id }
}

t.test(
  `of ${COURSES} courses and ${STUDENTS * 10} progress rows, lists and analytics are read twenty at once, and none ` +
    'is refused',
  { timeout: 1_800_000 },
  async (t) => {
    const server = await buildTestApp(t)
    const { owner, courseId } = await fill(server)
    const urls = [
      '/course/all',
      '/course/all?page=101&size=100',
      '/course/mine?page=101&size=100',
      `/course/${courseId}/analytics`,
      '/users',
      '/users?page=101&size=100',
      '/users?q=nobody-has-this',
      '/media',
      '/media?q=nobody-has-this',
      '/subscribe/my-courses'
    ]
    const student = await signUp(server, 'student')
    for (const url of urls) {
      const person = url.startsWith('/subscribe') ? student : owner
      await server.inject({ url, headers: person.headers })
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      const started = performance.now()
      const replies = await Promise.all(
        Array.from({ length: 20 }, () => server.inject({ url, headers: person.headers }))
      )
      const milliseconds = performance.now() - started
      // The last sample is taken when the loop comes round.
      await sleep(5)
      delay.disable()
      t.same(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200]), url)
      figure(
        t,
        `${engine}, ${url}: 20 at once in ${milliseconds.toFixed(0)} ms, event loop held for ` +
          `${(delay.max / 1e6).toFixed(1)} ms at most`
      )
    }
  }
)
