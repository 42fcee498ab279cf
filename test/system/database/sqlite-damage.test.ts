import SQLite from 'better-sqlite3'
import { open } from 'node:fs/promises'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import type { Overrides } from '../../../src/app.js'
import type { DatabaseConfig } from '../../../src/config/database.js'
import { MINUTE } from '../../../src/time.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { eventually } from '../../support/server-process.js'
import { signUp, upload } from '../../support/client.js'

const DAMAGE = 'database file is damaged'
const PAGE_BYTES = 4096
/** The header of a B-tree page: without it the page cannot be read. */
const PAGE_HEADER_BYTES = 12
/** A leaf of an index with no cell (https://www.sqlite.org/fileformat2.html#b_tree_pages). */
const EMPTY_INDEX_PAGE = Buffer.from([0x0a, 0, 0, 0, 0, 0x10, 0, 0])

const fileOf = ({ config }: TestApp) => (config.database as DatabaseConfig & { engine: 'sqlite' }).path

/** Overwrites the header of the first page of a table or index, and invalidates the page caches of the server. */
async function damage (server: TestApp, name: string, header = Buffer.alloc(PAGE_HEADER_BYTES, 0x5a)): Promise<void> {
  const other = new SQLite(fileOf(server))
  const page = other.prepare('select rootpage from sqlite_master where name = ?').pluck().get(name) as number
  other.pragma('wal_checkpoint(truncate)')
  const file = await open(fileOf(server), 'r+')
  await file.write(header, 0, header.length, (page - 1) * PAGE_BYTES)
  await file.close()
  other.prepare('insert into server_facts (name, value) values (?, ?)').run(`written after ${name}`, '')
  other.close()
}

interface Logged {
  server: TestApp
  logged(start: string): number
}

async function startLogged (t: Test, overrides: Overrides = {}): Promise<Logged> {
  const texts: string[] = []
  const write = (line: string): void => {
    texts.push((JSON.parse(line) as { msg: string }).msg)
  }
  const server = await buildTestApp(t, {}, { logger: { level: 'error', stream: { write } }, ...overrides })
  return { server, logged: (start) => texts.filter((text) => text.startsWith(start)).length }
}

async function expectDamaged (t: Test, { inject }: TestApp): Promise<void> {
  const reply = await inject({ url: '/readyz' })
  expectProblem(t, reply, 503, 'database_unavailable')
  t.match(reply.json(), { detail: /damaged.*restore a backup/ }, 'it says why')
  t.match(await inject({ url: '/health' }), { statusCode: 503 })
}

t.test('damage that a query finds turns /readyz to 503 and is logged once (bug: it stayed ready)', async (t) => {
  const { server, logged } = await startLogged(t)
  const owner = await signUp(server)
  t.equal((await upload(server, owner)).statusCode, 201)
  const list = () => server.inject({ url: '/media', headers: owner.headers })
  t.equal((await list()).statusCode, 200)
  t.equal((await server.inject({ url: '/readyz' })).statusCode, 200)

  await damage(server, 'media')
  for (let round = 0; round < 3; round++) expectProblem(t, await list(), 503, 'database_unavailable')
  await expectDamaged(t, server)
  t.equal((await server.inject({ url: '/', headers: {} })).statusCode, 200, 'what needs no damaged page is served')
  await expectDamaged(t, server)
  t.equal(logged(DAMAGE), 1)

  await server.app.close()
  await t.rejects(openTestApp(t, server.env, server.folder), /is damaged/, 'bug: its close marked it as intact')
})

t.test('damage that the thread of the view writer finds turns /readyz to 503', async (t) => {
  const { server, logged } = await startLogged(t)
  const owner = await signUp(server)
  const { id } = (await upload(server, owner)).json<{ id: string }>()
  const view = () => server.inject({ method: 'POST', url: `/media/${id}/view`, headers: owner.headers })
  t.equal((await view()).statusCode, 200)

  await damage(server, 'views')
  expectProblem(t, await view(), 503, 'database_unavailable')
  await expectDamaged(t, server)
  t.equal(logged(DAMAGE), 1)
})

t.test('no file is swept for a damaged index that hides its row', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const monotonic = { now: 0 }
  const { server, logged } = await startLogged(t, {
    clock: { monotonicNow: () => monotonic.now },
    maintenanceIntervalMs: MINUTE
  })
  const owner = await signUp(server)
  t.equal((await upload(server, owner)).statusCode, 201)
  const [index] = await server.query<{ name: string }>(`select indexes.name from pragma_index_list('media') as indexes,
    pragma_index_info(indexes.name) as columns where columns.name = 'blob_name'`)
  await damage(server, index!.name, EMPTY_INDEX_PAGE)
  const listed = await server.query("select blob_name from media where blob_name > ''")
  t.same(listed, [], 'SQLite finds no row, and no damage')
  await damage(server, 'accounts')
  await t.rejects(signUp(server), /damaged/)

  for (const look of [1, 2, 3]) {
    monotonic.now += 20 * MINUTE
    mock.timers.tick(MINUTE)
    await eventually('the sweep is refused', () => logged('failed to sweep orphaned files') === look)
  }
  t.equal((await server.storedFiles()).length, 1)
})
