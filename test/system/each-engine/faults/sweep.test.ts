import { readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { openDatabase } from '../../../../src/database/open.js'
import { listOwnedBlobs } from '../../../../src/media/media-store.js'
import { openDiskStore } from '../../../../src/storage/disk-store.js'
import { Sweeper } from '../../../../src/storage/sweep.js'
import { DAY, MINUTE } from '../../../../src/time.js'
import { buildTestApp } from '../../../support/test-app.js'
import { eventually } from '../../../support/server-process.js'
import { signUp } from '../../../support/client.js'
import { holdUpload, sha256, wav } from '../../../support/workload.js'
import { clockOf } from '../../../support/clock.js'

const MiB = 1024 * 1024

t.test(
  'sweeps of this process and of another beside 50 running uploads, with clocks a day off, take what was left over ' +
    'and nothing else',
  { timeout: 300_000 },
  async (t) => {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => mock.timers.reset())
    const monotonic = { now: 0 }
    const server = await buildTestApp(t, {}, { clock: { monotonicNow: () => monotonic.now } })
    const origin = await server.listen()
    const tmp = join(server.folder, 'uploads', 'tmp')
    const people = await Promise.all(Array.from({ length: 10 }, () => signUp(server)))
    const content = wav(1.5 * MiB)

    const db = openDatabase(loadConfig(server.env).database)
    t.teardown(() => db.destroy())
    const other = new Sweeper({
      store: await openDiskStore(join(server.folder, 'uploads')),
      owned: (names) => listOwnedBlobs(db, names),
      clock: clockOf(() => monotonic.now)
    })

    const leaveOver = () =>
      Promise.all(
        ['tmp/left-over', 'blobs/left-over'].map((path) => writeFile(join(server.folder, 'uploads', path), 'left over'))
      )
    const leftOver = async () => (await server.storedFiles()).filter((name) => name === 'left-over').length
    /**
     * Lets time pass on the monotonic clock and for what happens now and then: drafts are touched every 5 minutes, the
     * server sweeps every 10.
     */
    async function pass (minutes: number): Promise<void> {
      const drafts = (await readdir(tmp)).filter((name) => name !== 'left-over').map((name) => join(tmp, name))
      const touched = async () => (await Promise.all(drafts.map((path) => stat(path)))).map(({ mtimeMs }) => mtimeMs)
      const before = await touched()
      monotonic.now += minutes * MINUTE
      mock.timers.tick(minutes * MINUTE)
      if (minutes >= 5) {
        await eventually('each draft is touched', async () =>
          (await touched()).every((moment, index) => moment !== before[index])
        )
      }
    }

    const uploads = []
    for (let index = 0; index < 50; index++) {
      uploads.push(await holdUpload(origin, people[index % people.length]!.token, server.env.UPLOAD_DIR!, content))
    }
    for (const [index, { draft }] of uploads.entries()) {
      const moment = new Date(Date.now() + (index % 2 === 0 ? DAY : -DAY))
      await utimes(draft, moment, moment)
    }

    await leaveOver()
    for (const days of [1, -2, 1]) {
      server.clock.advance(days * DAY)
      await pass(10)
      await pass(10)
    }
    await eventually('the server took what was left over', async () => {
      if ((await leftOver()) === 0) return true
      await pass(10)
      return false
    })
    t.equal((await server.storedFiles()).length, 50, 'and no draft')

    await leaveOver()
    for (let look = 0; look < 6; look++) {
      await other.sweep()
      await pass(15)
    }
    t.equal(await leftOver(), 0, 'the other process took what was left over')
    t.equal((await server.storedFiles()).length, 50, 'and no draft')

    let running = true
    const sweeping = (async () => {
      while (running) {
        mock.timers.tick(10 * MINUTE)
        monotonic.now += 10 * MINUTE
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const replies = await Promise.all(uploads.map(({ finish }) => finish()))
    running = false
    await sweeping
    t.same(
      replies.map(({ status }) => status),
      Array<number>(50).fill(201),
      'all of them are taken while the server sweeps without pause'
    )

    await other.sweep()
    await pass(15)
    t.same(await other.sweep(), { removed: [], kept: [] })
    const hashes = await Promise.all(
      replies.map(async ({ body }, index) => {
        const reply = await fetch(`${origin}/media/stream/${body.id as string}`, {
          headers: people[index % people.length]!.headers
        })
        return sha256(Buffer.from(await reply.arrayBuffer()))
      })
    )
    t.same([...new Set(hashes)], [sha256(content)], 'and stream as they were sent')
  }
)
