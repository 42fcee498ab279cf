import SQLite from 'better-sqlite3'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { checkDatabaseFile } from '../../../src/database/file-check.js'
import { StartupError } from '../../../src/errors.js'
import { createSqliteCommit } from '../../../src/views/sqlite-commit.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { mintLink, signUp, upload } from '../../support/client.js'
import { Threads } from '../../support/threads.js'

const ROUNDS = 12
const VIEWS_OF_ROUND = 20
const unavailable = { code: 'database_unavailable', options: { headers: { 'retry-after': '5' } } }

const publish = async (server: TestApp) =>
  (await upload(server, await signUp(server), 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>().id

const viewOf = (mediaId: string) => ({
  mediaId,
  linkId: randomUUID(),
  address: '192.0.2.1',
  addressKey: '192.0.2.1',
  accountId: null,
  userAgent: null,
  viewedAt: 0
})

t.test('views of a commit thread that ends get 503; no view is lost, and none is counted twice', async (t) => {
  const server = await buildTestApp(t)
  const id = await publish(server)
  const threads = new Threads(t)
  const post = async (query = '') => await server.inject({ method: 'POST', url: `/media/${id}/view${query}` })
  let [accepted, refused] = [0, 0]
  /** A repeated view of one link counts once, so that a client may repeat it. */
  const postUntilAccepted = async (query: string) => {
    for (let reply = await post(query); ; reply = await post(query)) {
      if (reply.statusCode === 200) return
      refused++
      if (refused === 1) expectProblem(t, reply, 503, 'database_unavailable')
      if (reply.statusCode !== 503) throw new Error(reply.body)
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const links = await Promise.all(Array.from({ length: VIEWS_OF_ROUND }, () => mintLink(server, id)))
    // Every other round the thread has just started.
    if (round % 2 === 0) await threads.endAll()
    else if ((await post()).statusCode === 200) accepted++
    const views = links.map((link) => postUntilAccepted(new URL(link, 'http://localhost').search))
    for (let turn = 0; turn < round; turn++) await nextTurn()
    await threads.endAll()
    await Promise.all(views)
  }
  const [totals] = await server.query<{ total_views: number }>('select total_views from view_totals')
  t.equal(totals!.total_views, ROUNDS * VIEWS_OF_ROUND + accepted)
  const [days] = await server.query<{ views: number }>('select sum(views) as views from view_days')
  t.equal(days!.views, totals!.total_views, 'roll-ups agree')
  t.ok(threads.ended >= ROUNDS / 2, `${threads.ended} threads ended`)
  t.ok(refused > 0, `${refused} views were refused`)
})

t.test('a commit thread that ends while it starts, or while idle, fails no later batch', async (t) => {
  const server = await buildTestApp(t)
  const id = await publish(server)
  const threads = new Threads(t)
  const commits = createSqliteCommit(join(server.folder, 'data', 'playgate.db'), () => {})
  t.teardown(() => commits.close())
  threads.endNext()
  await t.rejects(commits.commit([viewOf(id)]), unavailable)
  t.same(await commits.commit([viewOf(id)]), ['counted'])
  await threads.endAll()
  t.same(await commits.commit([viewOf(id)]), ['counted'])
})

t.test('a commit that never ends fails at its limit, and is not carried out later', async (t) => {
  const server = await buildTestApp(t)
  const id = await publish(server)
  const threads = new Threads(t)
  const path = join(server.folder, 'data', 'playgate.db')
  const commits = createSqliteCommit(path, () => {}, 5000)
  t.teardown(() => commits.close())
  t.same(await commits.commit([viewOf(id)]), ['counted'])
  const holder = new SQLite(path)
  holder.exec('begin immediate')
  await t.rejects(commits.commit([viewOf(id)]), unavailable)
  await eventually('its thread has ended', () => threads.running === 0)
  holder.exec('rollback')
  holder.close()
  t.same(await commits.commit([viewOf(id)]), ['counted'])
  const [totals] = await server.query<{ total_views: number }>('select total_views from view_totals')
  t.equal(totals!.total_views, 2)
})

t.test('a check of the database whose thread ends refuses the start (bug: the start waited forever)', async (t) => {
  const path = join(t.testdir(), 'playgate.db')
  new SQLite(path).exec('create table one (id integer)').close()
  const threads = new Threads(t)
  threads.endNext()
  const failure: unknown = await checkDatabaseFile(path).catch((error: unknown) => error)
  t.ok(failure instanceof StartupError, String(failure))
  t.equal(threads.ended, 1)
  await checkDatabaseFile(path)
})
