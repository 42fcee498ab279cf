import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { migrations } from '../../../../migrations/index.js'
import { loadConfig, type Config } from '../../../../src/config/config.js'
import { migrate } from '../../../../src/database/migrate.js'
import { openDatabase } from '../../../../src/database/open.js'
import type { SegmentFacts } from '../../../../src/protection/hls/packager.js'
import { createPackageIndexes } from '../../../../src/protection/hls/package-indexes.js'
import { loadSecrets } from '../../../../src/secrets/keyring.js'
import { openDiskStore } from '../../../../src/storage/disk-store.js'
import { buildTestApp, engine, openTestApp, queryDatabase, testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { fixture } from '../../../support/fixtures.js'
import { form, newToken, signUpEverybody } from '../../../support/client.js'
import { codeOf, mintStream, protectedMedia } from '../../../support/protected-server.js'

type Parts = Parameters<typeof createPackageIndexes>[0] & { faults: unknown[] }
type Query = <T>(sql: string) => Promise<T[]>

const asId = engine === 'postgres' ? 'cast(new_id as uuid)' : 'new_id'
const LONGEST = JSON.stringify(
  Array.from({ length: 20_000 }, (_, number): SegmentFacts => [1_234_560 + 16 * number, 6006])
)

/** Makes media that are packaged as one is, in packages of 20,000 segments; returns their ids. */
async function copies (query: Query, id: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID())
  const withIds = `with ids (new_id) as (values ${ids.map((copy) => `('${copy}')`).join(', ')})`
  const [row] = await query<object>(`select * from media where id = '${id}'`)
  const changed: Record<string, string> = {
    id: asId,
    package_blob: "'copy-' || new_id",
    blob_name: "'source-' || new_id"
  }
  const columns = Object.keys(row!)
  const values = columns.map((column) => changed[column] ?? column)
  await query(`${withIds} insert into media (${columns.join(', ')})
    select ${values.join(', ')} from media, ids where id = '${id}'`)
  await query(`${withIds} insert into package_indexes (media_id, blob_name, segments, codecs)
    select ${asId}, 'copy-' || new_id, '${LONGEST}', '' from ids`)
  return ids
}

/** What indexes are read from, and the faults that they report. */
async function partsOf (t: Test, config: Config): Promise<Parts> {
  const db = openDatabase(config.database)
  const blobs = await openDiskStore(config.uploadDir)
  t.teardown(() => Promise.all([db.destroy(), blobs.close()]))
  const faults: unknown[] = []
  return { db, blobs, keys: loadSecrets(config).keyring('media'), onFault: (error) => faults.push(error), faults }
}

t.test('a heap of 96 MB plays 150 packages of 20,000 segments (bug: each media record held its index)', async (t) => {
  const { env } = await testEnvironment(t)
  const server = await startServer(t, { ...env, NODE_OPTIONS: '--max-old-space-size=96' })
  const token = await newToken(server.origin, 'owner@example.org')
  const { headers, payload } = form([
    { name: 'title', value: 'A title' },
    { name: 'type', value: 'video' },
    { name: 'protection', value: 'encrypted' },
    { name: 'visibility', value: 'public' },
    { name: 'file', value: await fixture('tiny.mp4'), fileName: 'file.mp4' }
  ])
  const { body } = await call(server.origin, '/media', { token, method: 'POST', body: payload, headers })
  const id = body.id as string
  const statusOf = async () => (await call(server.origin, `/media/${id}`, { token })).body.status
  await eventually('it is packaged', async () => (await statusOf()) === 'ready')
  const ids = await copies((sql) => queryDatabase(loadConfig(env), sql), id, 150)
  for (const copy of ids) {
    const minted = await call(server.origin, `/media/${copy}/stream-url`)
    const address = new URL(minted.body.stream_url as string)
    for (const file of ['master.m3u8', 'media.m3u8']) {
      const { status, body } = await call(server.origin, address.pathname.replace('master.m3u8', file))
      if (status === 200) continue
      return t.fail(`${file} of media ${ids.indexOf(copy)}: ${status} ${JSON.stringify(body)}\n${server.output()}`)
    }
  }
  t.equal((await call(server.origin, '/readyz')).status, 200)
})

t.test('indexes are cached in as many bytes as are given, and read again where there is no more room', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const ids = await copies(server.query, await protectedMedia(server, instructor), 6)
  const indexes = createPackageIndexes({ ...(await partsOf(t, server.config)), maxBytes: 600_000 })
  for (let round = 0; round < 2; round++) {
    for (const id of ids) {
      const index = await indexes.of(id, { blobName: `copy-${id}`, contentKey: '' })
      t.same(index.placeOf(1), { start: 1_234_560, end: 1_234_560 + 1_234_575 })
      t.equal(index.placeOf(20_000), undefined)
      t.ok(indexes.cachedBytes() <= 600_000 && indexes.cachedBytes() >= 240_000, `${indexes.cachedBytes()} bytes`)
    }
  }
  const one = { blobName: `copy-${ids[0]}`, contentKey: '' }
  t.equal((await Promise.all([indexes.of(ids[0]!, one), indexes.of(ids[0]!, one)])).length, 2)
  const dropped = indexes.of(ids[0]!, { blobName: 'dropped', contentKey: '' })
  await t.rejects(dropped, { code: 'not_found' }, 'a package that its media has no more')
})

t.test('an index goes with its package, and with its media', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { headers } = instructor
  const id = await protectedMedia(server, instructor)
  const stream = await mintStream(server, id, instructor)
  t.equal((await stream.get('media.m3u8')).status, 200)
  const count = async () => (await server.query('select media_id from package_indexes')).length
  t.equal(await count(), 1)
  await server.inject({ method: 'PATCH', url: `/media/${id}`, headers, payload: { protection: 'none' } })
  t.equal(await count(), 0)
  t.equal(codeOf(await stream.get('media.m3u8')), '404 not_found')
  const other = await protectedMedia(server, instructor)
  t.equal(await count(), 1)
  t.equal((await server.inject({ method: 'DELETE', url: `/media/${other}`, headers })).statusCode, 204)
  await eventually('its index is gone', async () => (await count()) === 0)
})

t.test('packages of the version before keep their indexes', async (t) => {
  const { env } = await testEnvironment(t)
  const config = loadConfig(env)
  const parts = await partsOf(t, config)
  const before = Object.entries(migrations).filter(([name]) => name < '012')
  await migrate(parts.db, Object.fromEntries(before))
  const id = randomUUID()
  await queryDatabase(
    config,
    `insert into accounts (id, email, email_key, password_hash, role, created_at)
    values ('${id}', 'a@example.org', 'a@example.org', 'x', 'instructor', 0)`
  )
  await queryDatabase(
    config,
    `insert into media
    (id, owner_id, title, type, visibility, status, blob_name, codecs, created_at, updated_at,
      package_blob, package_index)
    values ('${id}', '${id}', 'A title', 'video', 'private', 'ready', 'source', '[]', 0, 0,
      'package', '[[1600,6000],[800,3000]]')`
  )
  await migrate(parts.db, migrations)
  const index = await createPackageIndexes(parts).of(id, { blobName: 'package', contentKey: '' })
  t.same([index.placeOf(1), index.placeOf(2)], [{ start: 1600, end: 2399 }, undefined])
  t.equal(parts.faults.length, 1, 'a package that cannot be described plays all the same')
})

t.test('the master playlist has CODECS and FRAME-RATE, also for a package of the version before', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const id = await protectedMedia(server, instructor)
  const fresh = (await (await mintStream(server, id, instructor)).get('master.m3u8')).body.toString()
  t.match(fresh, /,CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2",RESOLUTION=\d+x\d+,FRAME-RATE=\d+\.\d{3}\n/)
  await server.query('update package_indexes set codecs = null, frame_rate_thousandths = null')
  const restarted = await openTestApp(t, server.env, server.folder)
  const stream = await mintStream(restarted, id, instructor)
  const replies = await Promise.all([1, 2, 3].map(() => stream.get('master.m3u8')))
  for (const { body } of replies) t.equal(body.toString(), fresh)
  const [row] = await server.query<{ codecs: string }>('select codecs from package_indexes')
  t.ok(fresh.includes(`"${row!.codecs}"`), 'it is read once')
})
