import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Overrides } from '../../../src/app.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { signUp, upload, type Person } from '../../support/client.js'
import { create, created, head, offsetIn, send, tus } from '../../support/tus.js'

const HOUR = 3_600_000
const video = await fixture('tiny.mp4')
const half = Math.floor(video.length / 2)

async function setUp (
  t: Test,
  env: Record<string, string> = {},
  overrides: Overrides = {}
): Promise<{ server: TestApp; owner: Person }> {
  const server = await buildTestApp(t, env, overrides)
  await signUp(server)
  return { server, owner: await signUp(server) }
}

const countMedia = async (server: TestApp) => (await server.query('select id from media')).length

t.test('20 parallel creations of a tenth of the quota: ten fit, and a deletion makes room', async (t) => {
  const { server, owner } = await setUp(t, { QUOTA_BYTES: '1000' })
  const replies = await Promise.all(Array.from({ length: 20 }, () => create(server, owner, 100)))
  const statuses = replies.map(({ statusCode }) => statusCode).sort()
  t.same(statuses, [...Array<number>(10).fill(201), ...Array<number>(10).fill(413)])
  expectProblem(t, replies.find(({ statusCode }) => statusCode === 413)!, 413, 'quota_exceeded')
  expectProblem(t, await upload(server, owner), 413, 'quota_exceeded')
  for (const { headers } of replies.filter(({ statusCode }) => statusCode === 201)) {
    const reply = await tus(server, owner, { method: 'DELETE', url: String(headers.location) })
    t.equal(reply.statusCode, 204)
  }
  t.equal((await create(server, owner, 1000)).statusCode, 201, 'all of the room is back')
})

t.test('an upload that fills the quota is published, because its reservation ends with it', async (t) => {
  const { server, owner } = await setUp(t, { QUOTA_BYTES: String(video.length) })
  const url = await created(server, owner, video.length)
  t.equal((await send(server, owner, url, { offset: 0, bytes: video })).statusCode, 204)
  expectProblem(t, await create(server, owner, 1), 413, 'quota_exceeded')
})

t.test('20 parallel last parts make one media', async (t) => {
  const { server, owner } = await setUp(t)
  const url = await created(server, owner, video.length, { title: 'A', protection: 'encrypted' })
  await send(server, owner, url, { offset: 0, bytes: video.subarray(0, half) })
  const bytes = video.subarray(half)
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => send(server, owner, url, { offset: half, bytes }).catch(() => undefined))
  )
  const done = await head(server, owner, url)
  t.equal(done.statusCode, 200)
  t.match(done.headers['media-location'], /^\/media\//)
  t.equal(await countMedia(server), 1)
  t.equal((await server.query("select id from jobs where kind = 'package'")).length, 1)
  t.equal((await server.storedFiles()).length, 1)
  const statuses = new Set(replies.map((reply) => reply?.statusCode))
  t.comment([...statuses].join(' '))
})

t.test('an account has at most 100 open uploads', async (t) => {
  const { server, owner } = await setUp(t)
  await created(server, owner, 1)
  for (let n = 0; n < 99; n++) {
    await server.query(
      'insert into uploads (id, owner_id, uploader_id, draft_name, description, size_bytes, created_at, updated_at, ' +
        `expires_at) select '${randomUUID()}', owner_id, uploader_id, '${n}', description, 1, 0, 0, expires_at ` +
        'from uploads limit 1'
    )
  }
  expectProblem(t, await create(server, owner, 1), 429, 'too_many_open_uploads')
})

t.test('an account that is disabled half-way sends nothing more, and nothing is published', async (t) => {
  const { server, owner } = await setUp(t)
  const url = await created(server, owner, video.length)
  await send(server, owner, url, { offset: 0, bytes: video.subarray(0, half) })
  await server.query(`update accounts set disabled = 1 where id = '${owner.id}'`)
  server.clock.advance(10_000)
  expectProblem(t, await send(server, owner, url, { offset: half, bytes: video.subarray(half) }), 401, 'invalid_token')
  t.equal(await countMedia(server), 0)
})

t.test('an upload expires a day after its last byte, and its room is back', async (t) => {
  const { server, owner } = await setUp(t, { QUOTA_BYTES: '100' }, { maintenanceIntervalMs: 20 })
  const url = await created(server, owner, 100)
  const countUploads = async () => (await server.query('select id from uploads')).length
  server.clock.advance(23 * HOUR)
  await send(server, owner, url, { offset: 0, bytes: Buffer.alloc(10) })
  server.clock.advance(23 * HOUR)
  t.equal(offsetIn(await head(server, owner, url)), 10)
  server.clock.advance(HOUR)
  t.equal((await head(server, owner, url)).statusCode, 410)
  await server.listen()
  await eventually('the upload is removed', async () => (await countUploads()) === 0)
  t.equal((await head(server, owner, url)).statusCode, 404)
  await eventually('the draft is removed', async () => (await server.storedFiles()).length === 0)
  t.equal((await create(server, owner, 100)).statusCode, 201)
})

t.test('a complete upload whose process died is published by the maintenance', async (t) => {
  const { server, owner } = await setUp(t, {}, { maintenanceIntervalMs: 20 })
  const url = await created(server, owner, video.length)
  await send(server, owner, url, { offset: 0, bytes: video.subarray(0, half) })
  const [row] = await server.query<{ draft_name: string }>('select draft_name from uploads')
  await writeFile(join(server.folder, 'uploads', 'tmp', row!.draft_name), video)
  await server.query(`update uploads set offset_bytes = size_bytes, holder = '${randomUUID()}'`)
  server.clock.advance(2 * 60_000)
  await server.listen()
  await eventually('the media is there', async () => (await countMedia(server)) === 1)
  const done = await head(server, owner, url)
  t.match(done.headers['media-location'], /^\/media\//)
})
