import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import t, { type Test } from 'tap'
import { addressKey } from '../../../src/http/client-address.js'
import { openDatabase } from '../../../src/database/open.js'
import { pruneViews } from '../../../src/views/view-maintenance.js'
import { ViewWriter } from '../../../src/views/view-writer.js'
import { ViewerIds } from '../../../src/views/viewer-ids.js'
import { Views } from '../../../src/views/views.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload, type Person } from '../../support/client.js'
import { systemClock } from '../../../src/time.js'

const DAY = 86_400_000
const monday = Date.UTC(2027, 2, 1, 12)
/** Tokens outlive the days that a test moves on. */
const longLived = { ACCESS_TOKEN_EXPIRE_MINUTES: '1000000' }

interface Figures {
  total_views: number
  unique_ips: number
  unique_viewers: number
  recent_views_7days: number
  views_per_day: Record<string, number>
  cached: boolean
}

const figures = async (server: TestApp, person: Person, id: string, query = '') =>
  (await server.inject({ url: `/media/${id}/analytics${query}`, headers: person.headers })).json<Figures>()
const view = async (server: TestApp, id: string, remoteAddress = '192.0.2.1', headers = {}, query = '') =>
  await server.inject({ method: 'POST', url: `/media/${id}/view${query}`, remoteAddress, headers })

/** A server whose clock stands at noon of a day, and what makes a public media on it. */
async function setUp (t: Test) {
  const server = await buildTestApp(t, longLived)
  server.clock.now = monday
  const { instructor, student } = await signUpEverybody(server)
  const publish = async () =>
    (await upload(server, instructor, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>().id
  return { server, instructor, student, publish }
}

const { server, instructor, student, publish } = await setUp(t)

/** What the figures must be, counted from the log. */
async function recount (
  server: TestApp,
  id: string
): Promise<Pick<Figures, 'total_views' | 'unique_ips' | 'views_per_day'>> {
  const rows = await server.query<{ address: string; viewed_at: number | string }>(
    `select address, viewed_at from views where media_id = '${id}'`
  )
  const days: Record<string, number> = {}
  for (const row of rows) {
    const day = new Date(Number(row.viewed_at)).toISOString().slice(0, 10)
    days[day] = (days[day] ?? 0) + 1
  }
  return {
    total_views: rows.length,
    unique_ips: new Set(rows.map((row) => addressKey(row.address))).size,
    views_per_day: days
  }
}

t.test('1,000 views at once from 25 addresses are counted exactly, at once', async (t) => {
  const id = await publish()
  const port = Number(new URL(await server.listen()).port)
  const agents = Array.from(
    { length: 25 },
    (_, index) => new Agent({ keepAlive: true, maxSockets: 8, localAddress: `127.0.0.${index + 2}` })
  )
  const statuses = await Promise.all(
    Array.from(
      { length: 1000 },
      (_, index) =>
        new Promise((resolve, reject) => {
          request(
            { host: '127.0.0.1', port, method: 'POST', path: `/media/${id}/view`, agent: agents[index % 25] },
            (reply) => reply.resume().on('end', () => resolve(reply.statusCode))
          )
            .on('error', reject)
            .end()
        })
    )
  )
  const found = await figures(server, instructor, id)
  agents.forEach((agent) => agent.destroy())
  t.same(new Set(statuses), new Set([200]))
  t.match(found, {
    total_views: 1000,
    unique_ips: 25,
    unique_viewers: 25,
    recent_views_7days: 1000,
    views_per_day: { '2027-03-01': 1000 },
    cached: false
  })
  t.match(found, await recount(server, id))
})

t.test('figures over days', async (t) => {
  const { server, instructor, publish } = await setUp(t)
  const id = await publish()
  // The last millisecond of a day and the first of the next are two days; views on day 0, 1, 6, 7 and 40.
  for (const [moment, views] of [
    [monday, 2],
    [Date.UTC(2027, 2, 2) - 1, 1],
    [Date.UTC(2027, 2, 2), 3],
    [monday + 6 * DAY, 1],
    [monday + 7 * DAY, 1],
    [monday + 40 * DAY, 1]
  ] as const) {
    server.clock.now = moment
    for (let count = 0; count < views; count++) await view(server, id, `192.0.2.${count}`)
    const wanted = { [monday + 6 * DAY]: 7, [monday + 7 * DAY]: 5, [monday + 40 * DAY]: 1 }[moment]
    if (wanted !== undefined) {
      t.equal(
        (await figures(server, instructor, id)).recent_views_7days,
        wanted,
        `recent on ${new Date(moment).toISOString()}`
      )
    }
  }
  const all = { '2027-03-01': 3, '2027-03-02': 3, '2027-03-07': 1, '2027-03-08': 1, '2027-04-10': 1 }
  const cases: Array<[query: string, days: Record<string, number>]> = [
    ['', { '2027-04-10': 1 }],
    ['?days=1', { '2027-04-10': 1 }],
    ['?days=40', { '2027-03-02': 3, '2027-03-07': 1, '2027-03-08': 1, '2027-04-10': 1 }],
    ['?days=41', all],
    ['?days=365', all]
  ]
  for (const [query, days] of cases) {
    const found = await figures(server, instructor, id, query)
    t.same(found.views_per_day, days, query)
    t.match(found, { total_views: 9, unique_ips: 3, recent_views_7days: 1 })
  }
  t.match(await figures(server, instructor, id, '?days=365'), await recount(server, id))
  for (const days of ['0', '366', '-1', '1.5', 'x', '']) {
    expectProblem(
      t,
      await server.inject({ url: `/media/${id}/analytics?days=${days}`, headers: instructor.headers }),
      422,
      'validation_failed',
      ['days']
    )
  }

  const before = await figures(server, instructor, id, '?days=365')
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  t.equal(await pruneViews(db, 33, server.clock.now), 7, 'whole days only: 8 March and later stay')
  t.equal((await recount(server, id)).total_views, 2)
  t.match(await figures(server, instructor, id, '?days=365'), { ...before, cached: true }, 'figures outlive the log')
  server.clock.advance(1)
  await view(server, id, '192.0.2.0')
  t.match(
    await figures(server, instructor, id, '?days=365'),
    { total_views: 10, unique_ips: 3 },
    'a viewer whose log is pruned is no new one'
  )
})

t.test('the log says who, when and from where, newest first', async (t) => {
  const id = await publish()
  await view(server, id, '192.0.2.1')
  server.clock.advance(1000)
  const reply = await view(server, id, '192.0.2.2', { ...student.headers, 'user-agent': 'player/1' })
  const timestamp = new Date(server.clock.now).toISOString()
  t.same(reply.json(), { message: 'View logged successfully', media_id: id, viewer_ip: '192.0.2.2', timestamp })
  await view(server, id, '192.0.2.3', { 'user-agent': `a\tb\u007f${'x'.repeat(10_000)}` })
  const list = async (query = '') =>
    (await server.inject({ url: `/media/${id}/views${query}`, headers: instructor.headers })).json<{
      items: Array<{ viewed_by_ip: string; user_agent: string }>
      total: number
    }>()
  const { items, total } = await list()
  t.equal(total, 3)
  t.same(
    items.map((item) => item.viewed_by_ip),
    ['192.0.2.3', '192.0.2.2', '192.0.2.1']
  )
  t.equal(items[0]!.user_agent, `a b ${'x'.repeat(508)}`)
  t.same(items[1], { viewed_by_ip: '192.0.2.2', timestamp, user_id: student.id, user_agent: 'player/1' })
  t.match(await list('?size=1&page=2'), { items: [{ viewed_by_ip: '192.0.2.2' }], total: 3, pages: 3 })
  t.same((await list('?page=9')).items, [])
})

t.test('an IPv6 viewer is a /64, and an IPv4 address is the same when mapped', async (t) => {
  const id = await publish()
  for (const address of [
    '2001:db8:1:2::1',
    '2001:db8:1:2:ffff::9',
    '2001:db8:1:3::1',
    '192.0.2.1',
    '::ffff:192.0.2.1',
    '::1'
  ]) {
    t.equal((await view(server, id, address)).statusCode, 200)
  }
  const found = await figures(server, instructor, id)
  t.match(found, { total_views: 6, unique_ips: 4, unique_viewers: 4 })
  t.match(found, await recount(server, id))
})

t.test('a link counts once for each address, however often and at once it is used', async (t) => {
  const id = await publish()
  const url = await mintLink(server, id, instructor)
  const query = url.slice(url.indexOf('?'))
  const both = (address: string) => [
    view(server, id, address, {}, query),
    server.inject({ url, remoteAddress: address }),
    server.inject({ url, remoteAddress: address, headers: { range: 'bytes=5-' } })
  ]
  const replies = await Promise.all(
    Array.from({ length: 10 }, () => [...both('192.0.2.1'), ...both('192.0.2.2')]).flat()
  )
  t.same(new Set(replies.map((reply) => reply.statusCode)), new Set([200, 206]))
  t.match(await figures(server, instructor, id), { total_views: 2, unique_ips: 2 })
  t.match(await figures(server, instructor, id), await recount(server, id))
})

t.test('a view of a deleted media is 404 and harms no other in its batch', async (t) => {
  const id = await publish()
  const gone = await publish()
  t.equal((await server.inject({ url: `/media/${gone}` })).statusCode, 200, 'known as a fact')
  await server.query(`delete from media where id = '${gone}'`)
  const replies = await Promise.all(Array.from({ length: 20 }, (_, index) => view(server, index % 2 === 0 ? id : gone)))
  replies.forEach((reply, index) =>
    index % 2 === 0 ? t.equal(reply.statusCode, 200) : expectProblem(t, reply, 404, 'not_found')
  )
  t.match(await figures(server, instructor, id), { total_views: 10 })
  t.same(await server.query(`select * from views where media_id = '${gone}'`), [])
})

t.test('analytics are cached, and never behind a view', async (t) => {
  const one = server
  const id = await publish()
  const two = await openTestApp(t, one.env, one.folder)
  two.clock.now = one.clock.now
  t.equal((await figures(one, instructor, id)).cached, false)
  t.match(await figures(one, instructor, id), { total_views: 0, cached: true })
  t.equal((await figures(one, instructor, id, '?days=7')).cached, false, 'other days are another answer')
  let behind = 0
  for (let round = 1; round <= 200; round++) {
    await view(one, id, `192.0.2.${round}`)
    const found = await figures(two, instructor, id)
    if (
      found.total_views !== round ||
      found.unique_ips !== round ||
      found.views_per_day['2027-03-01'] !== round ||
      found.cached
    ) {
      behind++
    }
  }
  t.equal(behind, 0)
  t.match(await figures(two, instructor, id), { total_views: 200, cached: true })
  for (const server of [one, two]) server.clock.now += 7 * DAY
  t.match(
    await figures(two, instructor, id),
    { total_views: 200, recent_views_7days: 0, cached: false },
    'another day is another answer'
  )
})

t.test('the writer', async (t) => {
  const viewOf = (mediaId: string) => ({
    mediaId,
    linkId: null,
    address: '192.0.2.1',
    addressKey: '192.0.2.1',
    accountId: null,
    userAgent: null,
    viewedAt: 0
  })
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

  t.test('takes what came in one turn, or during a commit, as one batch', async (t) => {
    const batches: string[][] = []
    const writer = new ViewWriter(async (batch) => {
      batches.push(batch.map((one) => one.mediaId))
      await turn()
      return batch.map(() => 'counted' as const)
    })
    const first = ['a', 'b', 'c'].map((name) => writer.write(viewOf(name)))
    t.equal(writer.waiting, 3)
    await turn()
    const second = ['d', 'e'].map((name) => writer.write(viewOf(name)))
    t.same(await Promise.all([...first, ...second]), Array(5).fill('counted'))
    t.same(batches, [
      ['a', 'b', 'c'],
      ['d', 'e']
    ])
  })

  t.test('a failed commit fails only its batch; each view gets its own outcome', async (t) => {
    let commits = 0
    const writer = new ViewWriter(async (batch) => {
      if (++commits === 1) throw new Error('disk')
      return batch.map(({ mediaId }) => (mediaId === 'gone' ? 'gone' : 'counted'))
    })
    await t.rejects(writer.write(viewOf('a')), { message: 'disk' })
    t.same(await Promise.all(['gone', 'a', 'gone'].map((name) => writer.write(viewOf(name)))), [
      'gone',
      'counted',
      'gone'
    ])
  })

  t.test('refuses with 503 past 20,000 that wait, in batches of 1,000, and flushes them all', async (t) => {
    const sizes: number[] = []
    const writer = new ViewWriter(
      async (batch) => batch.map(() => 'counted'),
      (outcomes) => sizes.push(outcomes.length)
    )
    const waiting = Array.from({ length: 20_000 }, () => writer.write(viewOf('a')))
    await t.rejects(writer.write(viewOf('a')), {
      code: 'overloaded',
      statusCode: 503,
      options: { headers: { 'retry-after': '5' } }
    })
    await writer.flush()
    t.equal(writer.waiting, 0)
    t.same(sizes, Array(20).fill(1000))
    t.equal((await Promise.all(waiting)).length, 20_000)
    await writer.flush()
    t.equal(await writer.write(viewOf(randomUUID())), 'counted')
  })
})

t.test(
  'a stream waits for its view no longer than it must, and what goes wrong later is told (bug: it was swallowed)',
  async (t) => {
    let fail: (error: Error) => void = () => {}
    const writer = {
      write: () =>
        new Promise<never>((_resolve, reject) => {
          fail = reject
        })
    } as unknown as ViewWriter
    const limit = { reserve: async () => () => {} }
    const views = new Views({
      writer,
      viewerIds: new ViewerIds('full', undefined),
      limit,
      clock: systemClock,
      db: undefined as never,
      cache: undefined as never,
      cacheSeconds: 0
    })
    const told: unknown[] = []
    await views.countStream(
      'a media',
      'a link',
      { address: '192.0.2.1', accountId: null, userAgent: undefined },
      (error) => told.push(error)
    )
    t.same(told, [])
    const late = new Error('the database was away')
    fail(late)
    await new Promise((resolve) => setImmediate(resolve))
    t.same(told, [late])
  }
)
