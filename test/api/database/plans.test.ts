import { readFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { MAX_MATCHES } from '../../../src/database/search.js'
import { dueJob } from '../../../src/jobs/job-store.js'
import type { Page } from '../../support/courses.js'
import { fillDatabase } from '../../support/large-database.js'
import { figure, sized } from '../../support/measures.js'
import { describedOperations, type Description, type Schema } from '../../support/operations.js'
import { planOf, queriesOf } from '../../support/plans.js'
import { buildTestApp, engine } from '../../support/test-app.js'

const sizes = {
  courses: sized(2000, engine === 'sqlite' ? 200_000 : 1_000_000),
  students: sized(2000, 100_000),
  media: sized(2000, 100_000),
  views: sized(2000, 1_000_000)
}
/** A first page of ten. A search reads 1,000 rows a step. Every table that is filled has more. */
const MAX_ROWS_READ = 1100
/** Steps of SQLite and Postgres that read a whole table, or sort one. SCAN with an index ends at the LIMIT. */
const SCAN = /Seq Scan|AUTOMATIC|SCAN (?!page\b|CONSTANT ROW|\w+ USING)/
/** In a large database Postgres reads a small table whole, so the test checks only the number of rows there. */
const isSmall = sizes.courses === 2000
/** Longer than any record is cached. */
const CACHED_MS = 10_000

const server = await buildTestApp(t, { ANALYTICS_CACHE_TTL_SECONDS: '0' })
const { db } = server.app
const { owner, student, teacher, course, mediaId } = await fillDatabase(server, sizes)
const students = `/subscribe/my-courses/${course.id}`

/** Every list, search and analytics route, and whom it is called by; the owner is an administrator. */
const routes = {
  'GET /course/all': ['/course/all', owner],
  'GET /course/mine': ['/course/mine', owner],
  'GET /course/{id}/lectures': [`/course/${course.id}/lectures`, owner],
  'GET /course/{id}/analytics': [`/course/${course.id}/analytics`, owner],
  'GET /subscribe/my-courses': ['/subscribe/my-courses', student],
  'GET /subscribe/my-courses/{course_id}/lectures': [`${students}/lectures`, student],
  'GET /subscribe/my-courses/{course_id}/progress': [`${students}/progress`, student],
  'GET /media': ['/media', teacher],
  'GET /media?type=': ['/media?type=video', teacher],
  'GET /media?q=': ['/media?q=nothing-is-called-so', teacher],
  'GET /media, an administrator': ['/media', owner],
  'GET /media?type=, an administrator': ['/media?type=video', owner],
  'GET /media?q=, an administrator': ['/media?q=nothing-is-called-so', owner],
  'GET /media/{id}/captions': [`/media/${mediaId}/captions`, owner],
  'GET /media/{id}/chapters': [`/media/${mediaId}/chapters`, owner],
  'GET /media/{id}/player.json': [`/media/${mediaId}/player.json`, owner],
  'GET /media/uploads': ['/media/uploads', teacher],
  'GET /media/{id}/views': [`/media/${mediaId}/views`, owner],
  'GET /media/{id}/analytics': [`/media/${mediaId}/analytics`, owner],
  'GET /upload-grants': ['/upload-grants', teacher],
  'GET /users': ['/users', owner],
  'GET /users?q=': ['/users?q=nobody-has-this', owner],
  'GET /api-keys': ['/api-keys', owner],
  'GET /users/{id}/api-keys': [`/users/${teacher.id}/api-keys`, owner]
} as const

const returnsList = ({ type, properties = {} }: Schema): boolean =>
  type === 'array' || 'items' in properties || 'lectures' in properties

/** The name of a route as above, and one more for each parameter that narrows its list. */
function namesOf (operation: string, { parameters = [], responses }: Description): string[] {
  const reply = (responses['200'] as { content?: Record<string, { schema: Schema }> } | undefined)?.content
  const schema = reply?.['application/json']?.schema
  if (schema === undefined || !(returnsList(schema) || operation.endsWith('/analytics'))) return []
  const narrowing = parameters.filter((one) => one.in === 'query' && !['page', 'size', 'days'].includes(one.name))
  return [operation, ...narrowing.map(({ name }) => `${operation}?${name}=`)]
}

t.test('every list, search and analytics route of openapi.json is among those whose plans are checked', async (t) => {
  const described = [...(await describedOperations(server))].filter(([operation]) => operation.startsWith('GET '))
  const names = described.flatMap(([operation, description]) => namesOf(operation, description))
  t.ok(names.includes('GET /media/{id}/views'))
  t.same(
    names.filter((name) => !(name in routes)),
    []
  )
})

t.test('no list, search or analytics route scans a table; its plans are in docs/performance/plans.md', async (t) => {
  const docs = await readFile('docs/performance/plans.md', 'utf8')
  const check = async (name: string, queries: Awaited<ReturnType<typeof queriesOf>>) => {
    t.ok(queries.length > 0, name)
    for (const query of queries) {
      const { steps, rowsRead } = await planOf(db, query, isSmall)
      const row = `| ${name} | ${steps.join('; ')} |`
      t.notOk(
        (engine === 'sqlite' || isSmall) && steps.some((step) => SCAN.test(step)),
        row
      )
      t.ok(rowsRead <= MAX_ROWS_READ, `${row} reads ${rowsRead} rows`)
      if (engine === 'sqlite') t.ok(docs.includes(row), row)
    }
  }
  // What every call with a token asks.
  server.clock.advance(CACHED_MS)
  const common = await queriesOf(db, () => server.inject({ url: '/auth/me', headers: owner.headers }))
  await check('every call with a token', common)
  for (const [name, [url, person]] of Object.entries(routes)) {
    server.clock.advance(CACHED_MS)
    const queries = await queriesOf(db, () => server.inject({ url, headers: person.headers }))
    await check(
      name,
      queries.filter((query) => !common.some(({ sql }) => sql === query.sql))
    )
  }
  await check('the next job', [dueJob(db, 'package', 1).compile()])
})

t.test('a search of several steps finds what the list holds, in its order', async (t) => {
  const read = async (query: string) =>
    (await server.inject({ url: `/media?size=100&${query}`, headers: teacher.headers })).json<Page<{ id: string }>>()
  for (const page of [1, 10, 11, 20]) {
    const found = await read(`q=TALK&page=${page}`)
    t.equal(found.total, Math.min(sizes.media, MAX_MATCHES))
    t.same(found.items, (await read(`page=${page}`)).items)
    t.equal(found.items.length, 100)
  }
})

t.test(
  `of ${sizes.courses} courses, ${sizes.students * 10} progress rows and ${sizes.views} views, lists and analytics ` +
    'are read twenty at once, and none is refused',
  { timeout: 1_800_000 },
  async (t) => {
    const deep = ['/course/all', '/course/mine', '/media', `/media/${mediaId}/views`, '/users'].map(
      (path) => [`${path}?page=101&size=100`, owner] as const
    )
    for (const [url, { headers }] of [...Object.values(routes), ...deep]) {
      await server.inject({ url, headers })
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      const started = performance.now()
      const replies = await Promise.all(Array.from({ length: 20 }, () => server.inject({ url, headers })))
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
