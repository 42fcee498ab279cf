import fs, { appendFile, chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
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

const removals = async (sweeper: Sweeper, options?: Parameters<Sweeper['sweep']>[0]) =>
  (await sweeper.sweep(options)).removed

const receive = async (store: Awaited<ReturnType<typeof openDiskStore>>, content = 'bytes') =>
  await store.receive(Readable.from([Buffer.from(content)]), () => {})

t.test('what a crash left goes when two looks 15 minutes apart found it, and not before', async (t) => {
  const { rows, put, left, look, sweeper, clock } = await setUp(t)
  await put('tmp/draft')
  await put('blobs/orphan')
  await put('blobs/owned')
  rows.add('owned')
  t.same(await removals(sweeper), [])
  clock.now += 15 * MINUTE - 1
  t.same(await removals(sweeper), [])
  t.same(await left(), ['draft', 'orphan', 'owned'])
  clock.now += 1
  t.same(
    (await removals(sweeper)).map(({ kind, name, sizeBytes }) => ({ kind, name, sizeBytes })),
    [
      { kind: 'draft', name: 'draft', sizeBytes: 9 },
      { kind: 'blob', name: 'orphan', sizeBytes: 9 }
    ]
  )
  t.same(await left(), ['owned'])
  await look(3, 20)
  t.same(await left(), ['owned'])
})

t.test('a draft that grows and a blob that got its row stay', async (t) => {
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
  t.same(await removals(sweeper), [], 'a draft that does not grow any more is only suspected now')
  clock.now += 15 * MINUTE
  await sweeper.sweep()
  t.same(await left(), ['late'])
})

t.test('what this process is writing stays, however long it takes, even with only one instance', async (t) => {
  const { store, left, look, sweeper } = await setUp(t)
  const source = new PassThrough()
  const writing = store.receive(source, () => {})
  source.write('half')
  const finished = await receive(store)
  await look(4, 20)
  await sweeper.sweep({ isOnlyInstance: true })
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
    t.same(await removals(sweeper, { isOnlyInstance: true }), [])
    rows.add(name)
    await draft.discard()
    t.same(await removals(sweeper, { isOnlyInstance: true }), [])
    t.same(await left(), [name])
  }
)

t.test('a committed blob that lost its row stays, and goes only when it is asked for', async (t) => {
  const { store, rows, left, sweeper, clock } = await setUp(t)
  const draft = await receive(store)
  const name = await draft.publish()
  rows.add(name)
  await store.markCommitted(name)
  await draft.discard()
  t.same(await sweeper.sweep(), { removed: [], kept: [] })

  rows.clear()
  for (let look = 0; look < 3; look++) {
    clock.now += 15 * MINUTE
    t.match(await sweeper.sweep(), { removed: [], kept: [{ name, committed: true }] })
  }
  t.match(await sweeper.sweep({ isOnlyInstance: true }), { removed: [], kept: [{ name }] })
  t.match(await sweeper.sweep({ dryRun: true, removeCommitted: true }), { removed: [{ name }], kept: [] })
  t.same(await left(), [name])

  t.same(await sweeper.sweep({ removeCommitted: true }), { removed: [], kept: [] }, 'two looks here too')
  clock.now += 15 * MINUTE
  t.match(await sweeper.sweep({ removeCommitted: true }), { removed: [{ name }], kept: [] })
  t.same(await left(), [])
})

t.test('a sweep marks owned blobs of older versions, and a dry run does not', async (t) => {
  const { rows, put, store, sweeper } = await setUp(t)
  await put('blobs/owned')
  await put('blobs/orphan')
  rows.add('owned')
  await sweeper.sweep({ dryRun: true })
  t.notOk(await store.isCommitted('owned'))
  await sweeper.sweep()
  t.ok(await store.isCommitted('owned'))
  t.notOk(await store.isCommitted('orphan'))
  rows.clear()
  t.match(await sweeper.sweep({ isOnlyInstance: true }), { removed: [{ name: 'orphan' }], kept: [{ name: 'owned' }] })
})

t.test('a blob under deletion, and one that just got its row, are neither lost nor orphaned', async (t) => {
  const { store, rows, put, left, folder } = await setUp(t)
  await Promise.all(['deleted', 'dropped', 'fresh'].map((name) => put(`blobs/${name}`)))
  await Promise.all(['deleted', 'dropped'].map((name) => store.markCommitted(name)))
  const sweeper = new Sweeper({
    store,
    clock: clockOf(() => 0),
    async owned () {
      await store.remove('deleted')
      await store.unmarkCommitted('dropped')
      await store.markCommitted('fresh')
      return rows
    }
  })
  t.same(await sweeper.sweep(), { removed: [], kept: [] })
  t.same(await left(), ['dropped', 'fresh'])
  t.equal((await stat(join(folder, 'blobs', 'dropped'))).mode & 0o200, 0o200)
})

t.test('the mark takes write bits only, and leaves who may read', async (t) => {
  const { store, folder, put } = await setUp(t)
  for (const [mode, marked] of [
    [0o640, 0o440],
    [0o664, 0o444],
    [0o600, 0o400]
  ] as const) {
    await put('blobs/file')
    const modeOf = async () => (await stat(join(folder, 'blobs/file'))).mode & 0o7777
    await chmod(join(folder, 'blobs/file'), mode)
    await store.markCommitted('file')
    t.equal(await modeOf(), marked)
    await store.unmarkCommitted('file')
    t.equal(await modeOf(), marked | 0o200)
  }
  await store.markCommitted('missing')
  t.notOk(await store.isCommitted('missing'))
})

t.test('a file system without modes is reported once, and its files are swept as ever', async (t) => {
  const { folder, rows, put, left } = await setUp(t)
  const { chmod } = fs
  const faults: unknown[] = []
  t.teardown(() => {
    fs.chmod = chmod
    syncBuiltinESMExports()
  })
  for (const refuse of [
    async () => {},
    async () => {
      throw Object.assign(new Error('chmod: not permitted'), { code: 'EPERM' })
    }
  ]) {
    fs.chmod = refuse
    syncBuiltinESMExports()
    const sweeper = new Sweeper({
      store: await openDiskStore(folder, (error) => faults.push(error)),
      clock: clockOf(() => 0),
      owned: async () => rows
    })
    await Promise.all(['one', 'two'].map((name) => put(`blobs/${name}`)))
    rows.add('one').add('two')
    for (let look = 0; look < 3; look++) {
      t.same(await sweeper.sweep({ isOnlyInstance: true }), { removed: [], kept: [] })
    }
    rows.clear()
    t.equal((await sweeper.sweep({ isOnlyInstance: true })).removed.length, 2)
    t.same(await left(), [])
  }
  t.match(faults, [{ message: /does not keep the mode/ }, { code: 'EPERM' }])
})

t.test('with only one instance, one look is enough', async (t) => {
  const { rows, put, left, sweeper } = await setUp(t)
  rows.add('owned')
  await Promise.all(['tmp/draft', 'blobs/orphan', 'blobs/owned'].map((path) => put(path)))
  t.equal((await removals(sweeper, { isOnlyInstance: true })).length, 2)
  t.same(await left(), ['owned'])
})

t.test('a dry run says what it would remove and removes nothing', async (t) => {
  const { put, left, sweeper } = await setUp(t)
  await put('tmp/draft')
  await put('blobs/orphan')
  t.same(
    (await removals(sweeper, { dryRun: true })).map(({ name }) => name),
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
  const removed = await removals(sweeper, { isOnlyInstance: true })
  t.equal(removed.length, 550)
  t.equal((await left()).length, 551)
})
