import { mkdir, mkdtemp, readdir, rm, utimes, writeFile, appendFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { openDiskStore } from '../../../src/storage/disk-store.js'
import { Sweeper } from '../../../src/storage/sweep.js'
import { clockOf } from '../../support/clock.js'

const MINUTE = 60_000

async function setUp (t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-sweep-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const store = await openDiskStore(folder)
  const clock = { now: 1e6 }
  const rows = new Set<string>()
  const sweeper = new Sweeper({
    store,
    clock: clockOf(() => clock.now),
    owned: async (names) => new Set(names.filter((name) => rows.has(name)))
  })
  return {
    folder,
    store,
    clock,
    rows,
    sweeper,
    put: (path: string, content = 'left over') => writeFile(join(folder, path), content),
    left: async () => [...(await readdir(join(folder, 'tmp'))), ...(await readdir(join(folder, 'blobs')))].sort(),
    /** Looks `looks` times, `minutes` apart. */
    async look (looks: number, minutes: number) {
      for (let look = 0; look < looks; look++) {
        if (look > 0) clock.now += minutes * MINUTE
        await sweeper.sweep()
      }
    }
  }
}

const receive = async (store: Awaited<ReturnType<typeof openDiskStore>>, content = 'bytes') =>
  await store.receive(Readable.from([Buffer.from(content)]), () => {})

t.test('what a crash left goes when two looks 15 minutes apart found it, and not before', async (t) => {
  const { rows, put, left, look, sweeper, clock } = await setUp(t)
  await put('tmp/draft')
  await put('blobs/orphan')
  await put('blobs/owned')
  rows.add('owned')
  t.same(await sweeper.sweep(), [])
  clock.now += 15 * MINUTE - 1
  t.same(await sweeper.sweep(), [])
  t.same(await left(), ['draft', 'orphan', 'owned'])
  clock.now += 1
  t.same(
    (await sweeper.sweep()).map(({ kind, name, sizeBytes }) => ({ kind, name, sizeBytes })),
    [
      { kind: 'draft', name: 'draft', sizeBytes: 9 },
      { kind: 'blob', name: 'orphan', sizeBytes: 9 }
    ]
  )
  t.same(await left(), ['owned'])
  await look(3, 20)
  t.same(await left(), ['owned'])
})

t.test('a draft that grows, a blob that got its row and one that came again stay', async (t) => {
  const { folder, rows, put, left, sweeper, clock } = await setUp(t)
  await put('tmp/growing')
  await put('blobs/late')
  await sweeper.sweep()
  for (let round = 0; round < 4; round++) {
    clock.now += 14 * MINUTE
    await appendFile(join(folder, 'tmp/growing'), 'more')
    rows.add('late')
    await sweeper.sweep()
  }
  t.same(await left(), ['growing', 'late'])
  rows.delete('late')
  await sweeper.sweep()
  t.same(await left(), ['growing', 'late'], 'what lost its row is only suspected now')
  clock.now += 15 * MINUTE
  await sweeper.sweep()
  t.same(await left(), [])
})

t.test('what this process is writing stays, however long it takes and even alone', async (t) => {
  const { store, left, look, sweeper } = await setUp(t)
  const source = new PassThrough()
  const writing = store.receive(source, () => {})
  source.write('half')
  const finished = await receive(store)
  await look(4, 20)
  await sweeper.sweep({ alone: true })
  t.equal((await left()).length, 2)
  source.end()
  await (await writing).discard()
  await finished.discard()
  t.same(await left(), [])
})

t.test(
  'a published blob stays until its row is committed (bug: a start-up sweep took files of uploads that came meanwhile)',
  async (t) => {
    const { store, rows, left, sweeper } = await setUp(t)
    const draft = await receive(store)
    const name = await draft.publish()
    t.same(await sweeper.sweep({ alone: true }), [])
    rows.add(name)
    await draft.discard()
    t.same(await sweeper.sweep({ alone: true }), [])
    t.same(await left(), [name])
    rows.clear()
    t.equal((await sweeper.sweep({ alone: true })).length, 1, 'without a row it is left over again')
  }
)

t.test('alone, one look is enough', async (t) => {
  const { rows, put, left, sweeper } = await setUp(t)
  rows.add('owned')
  await Promise.all(['tmp/draft', 'blobs/orphan', 'blobs/owned'].map((path) => put(path)))
  t.equal((await sweeper.sweep({ alone: true })).length, 2)
  t.same(await left(), ['owned'])
})

t.test('a dry run says what it would remove and removes nothing', async (t) => {
  const { put, left, sweeper } = await setUp(t)
  await put('tmp/draft')
  await put('blobs/orphan')
  t.same(
    (await sweeper.sweep({ dryRun: true })).map(({ name }) => name),
    ['draft', 'orphan']
  )
  t.same(await left(), ['draft', 'orphan'])
})

t.test('a wall clock that is off by a day does not matter', async (t) => {
  const { folder, put, left, look } = await setUp(t)
  for (const [name, days] of [
    ['past', -1],
    ['future', 1]
  ] as const) {
    await put(`tmp/${name}`)
    const moment = new Date(Date.now() + days * 86_400_000)
    await utimes(join(folder, 'tmp', name), moment, moment)
  }
  await look(2, 10)
  t.same(await left(), ['future', 'past'])
  await look(2, 15)
  t.same(await left(), [])
})

t.test('more blobs than one question takes, folders and files that vanish are no trouble', async (t) => {
  const { folder, rows, put, left, sweeper } = await setUp(t)
  await mkdir(join(folder, 'blobs', 'folder'))
  await Promise.all(
    Array.from({ length: 1100 }, async (_, index) => {
      await put(`blobs/${index}`)
      if (index % 2 === 0) rows.add(String(index))
    })
  )
  const removed = await sweeper.sweep({ alone: true })
  t.equal(removed.length, 550)
  t.equal((await left()).length, 551)
})
