import type { Response } from 'light-my-request'
import { createHash } from 'node:crypto'
import t from 'tap'
import { listBlobReferences } from '../../../src/media/blob-reference-store.js'
import { listOwnedBlobs } from '../../../src/media/media-store.js'
import { Sweeper } from '../../../src/storage/sweep.js'
import { clockOf } from '../../support/clock.js'
import { mintStream, settled } from '../../support/protected-server.js'
import { buildTestApp, expectProblem, removalsDone, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { mintLink, signUpEverybody, upload, type Person } from '../../support/client.js'

interface Shown {
  id: string
  title: string
  size_bytes: number
  sha256: string
  duration_seconds: number
  content_type: string
}

const song = await fixture('tiny.ogg')
const film = await fixture('tiny.mp4')
const contentOf = (bytes: Buffer) => ({
  sha256: createHash('sha256').update(bytes).digest('hex'),
  size_bytes: bytes.length
})

async function preflight (server: TestApp, { headers }: Person, payload: object, key?: string): Promise<Response> {
  return await server.inject({
    method: 'POST',
    url: '/media/preflight',
    headers: { ...headers, ...(key !== undefined && { 'idempotency-key': key }) },
    payload
  })
}
const uploadSong = async (server: TestApp, person: Person) =>
  (await upload(server, person, 'tiny.ogg', { type: 'audio' })).json<Shown>()
const create = async (server: TestApp, person: Person, bytes = song, more: object = {}) => {
  const reply = await preflight(server, person, { ...contentOf(bytes), create: true, title: 'A copy', ...more })
  if (reply.statusCode !== 201) throw new Error(`no copy: ${reply.body}`)
  return reply.json<Shown>()
}
const remove = async (server: TestApp, { headers }: Person, id: string) =>
  await server.inject({ method: 'DELETE', url: `/media/${id}`, headers })
const bytesOf = async (server: TestApp, person: Person, id: string) =>
  (await server.inject({ url: await mintLink(server, id, person) })).rawPayload
const sweep = (server: TestApp) =>
  new Sweeper({
    store: server.app.blobs,
    owned: (names) => listOwnedBlobs(server.app.db, names),
    clock: clockOf(() => 0)
  }).sweep({ isOnlyInstance: true })

// Each test of this server removes what it made.
const server = await buildTestApp(t)
const { instructor } = await signUpEverybody(server)
await server.listen()

t.test('preflight finds only the files of the caller', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor } = await signUpEverybody(server)
  const none = { exists: false, media_id: null }
  t.same((await preflight(server, instructor, contentOf(song))).json(), none)
  const { id } = await uploadSong(server, instructor)
  t.same((await preflight(server, instructor, contentOf(song))).json(), { exists: true, media_id: id })
  t.same((await preflight(server, admin, contentOf(song))).json(), none, 'an administrator learns nothing either')
  const create = { ...contentOf(song), create: true, title: 'Mine' }
  t.same((await preflight(server, admin, create)).json(), none, 'nor gets the file')
  const other = { ...contentOf(song), size_bytes: song.length + 1 }
  t.same((await preflight(server, instructor, other)).json(), none, 'the size counts')
  await remove(server, instructor, id)
  t.same((await preflight(server, instructor, contentOf(song))).json(), none, 'a deleted file is unknown at once')
})

t.test('a media is created without an upload, and has all facts of the file', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const first = await uploadSong(server, instructor)
  const reply = await preflight(server, instructor, { ...contentOf(song), create: true, title: ' Again ' })
  t.equal(reply.statusCode, 201, reply.body)
  const copy = reply.json<Shown>()
  t.equal(reply.headers.location, `/media/${copy.id}`)
  const { id: _id, ...facts } = copy
  const { title: _title, ...expected } = first
  t.match(facts, { title: 'Again', size_bytes: expected.size_bytes, sha256: expected.sha256 })
  t.match(facts, { duration_seconds: expected.duration_seconds, content_type: expected.content_type })
  t.same(await bytesOf(server, instructor, copy.id), song)
  t.equal((await server.storedFiles()).length, 1, 'one file')
  const copyOfCopy = await create(server, instructor)
  t.same(await bytesOf(server, instructor, copyOfCopy.id), song)
})

t.test('the file stays until its last media is deleted, in any order', async (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0]
  ]) {
    const first = await uploadSong(server, instructor)
    const ids = [first.id, (await create(server, instructor)).id, (await create(server, instructor)).id]
    for (const [index, at] of order.entries()) {
      t.equal((await server.storedFiles()).length, 1)
      t.equal((await remove(server, instructor, ids[at]!)).statusCode, 204)
      await removalsDone(server)
      t.same((await sweep(server)).kept, [], 'no file lost its row')
      for (const left of order.slice(index + 1)) t.same(await bytesOf(server, instructor, ids[left]!), song)
    }
    t.same(await server.storedFiles(), [], `${order.join()}: the file is gone`)
  }
})

t.test('media of one file that are deleted at once leave nothing', async (t) => {
  const first = await uploadSong(server, instructor)
  const copies = await Promise.all(Array.from({ length: 9 }, () => create(server, instructor)))
  await Promise.all([first, ...copies].map(({ id }) => remove(server, instructor, id)))
  await removalsDone(server)
  t.same(await server.storedFiles(), [])
  t.same(await server.query('select id from media'), [])
})

t.test('a copy that is created while its file is deleted plays, or is not created', async (t) => {
  for (let round = 0; round < 5; round++) {
    const { id } = await uploadSong(server, instructor)
    const payload = { ...contentOf(song), create: true, title: 'A copy' }
    const [reply] = await Promise.all([preflight(server, instructor, payload), remove(server, instructor, id)])
    await removalsDone(server)
    t.ok([200, 201, 404].includes(reply.statusCode), reply.body)
    if (reply.statusCode === 201) {
      const copy = reply.json<Shown>()
      t.same(await bytesOf(server, instructor, copy.id), song)
      await remove(server, instructor, copy.id)
      await removalsDone(server)
    }
    t.same(await server.storedFiles(), [])
  }
})

t.test('the sweep and the check of the files know that a file is shared', async (t) => {
  const { id } = await uploadSong(server, instructor)
  const copy = await create(server, instructor)
  await remove(server, instructor, id)
  await removalsDone(server)
  t.same(await sweep(server), { removed: [], kept: [] })
  t.same(await bytesOf(server, instructor, copy.id), song)
  await remove(server, instructor, copy.id)
  await removalsDone(server)
})

t.test('a backup copies a shared file once, also after its first media is deleted', async (t) => {
  const files = async () => {
    const names: string[] = []
    for await (const { name } of listBlobReferences(server.app.db)) names.push(name)
    return names
  }
  const { id } = await uploadSong(server, instructor)
  const copies = [await create(server, instructor), await create(server, instructor)]
  t.same(await files(), await server.storedFiles())
  await remove(server, instructor, id)
  await removalsDone(server)
  t.same(await files(), await server.storedFiles())
  for (const copy of copies) await remove(server, instructor, copy.id)
  await removalsDone(server)
  t.same(await files(), [])
})

t.test('an encrypted copy has its own package, and outlives the plain media', async (t) => {
  const plain = (await upload(server, instructor, 'tiny.mp4')).json<Shown>()
  const { id } = await create(server, instructor, film, { protection: 'encrypted' })
  t.match(await settled(server, id, instructor), { status: 'ready', protection: 'encrypted' })
  t.equal((await server.storedFiles()).length, 2, 'the file, and one package')
  await remove(server, instructor, plain.id)
  await removalsDone(server)
  const stream = await mintStream(server, id, instructor)
  t.equal((await stream.get('media.m3u8')).status, 200)
  t.equal((await stream.get('segment-0.ts')).status, 200)
  const change = { method: 'PATCH', url: `/media/${id}`, headers: instructor.headers } as const
  t.equal((await server.inject({ ...change, payload: { protection: 'none' } })).statusCode, 200)
  t.same(await bytesOf(server, instructor, id), film)
  await remove(server, instructor, id)
  await removalsDone(server)
  t.same(await server.storedFiles(), [])
})

t.test('each media counts its full size against the quota', async (t) => {
  const server = await buildTestApp(t, { QUOTA_BYTES: String(2 * song.length) })
  const { instructor } = await signUpEverybody(server)
  await uploadSong(server, instructor)
  const copy = await create(server, instructor)
  const full = await preflight(server, instructor, { ...contentOf(song), create: true, title: 'A third' })
  expectProblem(t, full, 413, 'quota_exceeded')
  await remove(server, instructor, copy.id)
  await create(server, instructor)
})

t.test('a key makes a creation repeatable; an unknown file leaves the key unused', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const payload = { ...contentOf(song), create: true, title: 'Once' }
  t.match((await preflight(server, instructor, payload, 'once')).json(), { exists: false })
  await uploadSong(server, instructor)
  const replies = await Promise.all(Array.from({ length: 5 }, () => preflight(server, instructor, payload, 'once')))
  t.same(new Set(replies.map(({ statusCode }) => statusCode)), new Set([201]))
  t.equal(new Set(replies.map(({ body }) => body)).size, 1)
  t.equal((await server.query('select id from media')).length, 2)
})

t.test('a bad request is refused by field', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await uploadSong(server, instructor)
  const good = contentOf(song)
  const cases: Array<[payload: object, fields: string[]]> = [
    [{}, ['sha256', 'size_bytes']],
    [{ ...good, sha256: good.sha256.toUpperCase().slice(1) }, ['sha256']],
    [{ ...good, sha256: 'g'.repeat(64) }, ['sha256']],
    [{ ...good, size_bytes: 0 }, ['size_bytes']],
    [{ ...good, size_bytes: '5' }, ['size_bytes']],
    [{ ...good, size_bytes: 2 ** 60 }, ['size_bytes']],
    [{ ...good, create: true }, ['title']],
    [{ ...good, create: 'yes' }, ['create']],
    [{ ...good, owner_id: 'x' }, ['owner_id']]
  ]
  for (const [payload, fields] of cases) {
    expectProblem(t, await preflight(server, instructor, payload), 422, 'validation_failed', fields)
  }
  const wrongType = await preflight(server, instructor, { ...good, create: true, title: 'A', type: 'video' })
  expectProblem(t, wrongType, 422, 'media_type_mismatch')
  t.equal((await server.query('select id from media')).length, 1)
})
