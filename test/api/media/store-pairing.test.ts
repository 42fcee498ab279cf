import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import { checkStorePairing, recordSweep } from '../../../src/media/store-pairing.js'
import { openDiskStore } from '../../../src/storage/disk-store.js'
import { testEnvironment } from '../../support/test-app.js'

t.test(
  'database and folder are bound to one another; bug: a sweep with the wrong one took every file for left over',
  async (t) => {
    const databases = await Promise.all(
      [1, 2].map(async () => {
        const { env, folder } = await testEnvironment(t)
        const db = openDatabase(loadConfig(env).database)
        t.teardown(() => db.destroy())
        await migrate(db, migrations)
        return { db, folder, store: await openDiskStore(join(folder, 'uploads')) }
      })
    )
    const [first, second] = databases as [(typeof databases)[0], (typeof databases)[0]]
    t.same(
      await Promise.all(Array.from({ length: 5 }, () => checkStorePairing(first.db, first.store))),
      Array(5).fill('paired'),
      'new ones, by five processes at once'
    )
    t.equal(await checkStorePairing(second.db, second.store), 'paired')
    t.equal(await checkStorePairing(first.db, first.store), 'paired', 'and again')
    t.equal(await checkStorePairing(first.db, second.store), 'unrelated', 'a wrong folder')
    t.equal(
      await checkStorePairing(first.db, await openDiskStore(join(first.folder, 'not-mounted'))),
      'unrelated',
      'an empty folder'
    )
    await recordSweep(first.db, first.store)
    await recordSweep(first.db, first.store)
    t.equal(await checkStorePairing(first.db, first.store), 'paired', 'after sweeps')
    await first.db.updateTable('server_facts').set({ value: '1' }).where('name', '=', 'storage.age').execute()
    t.equal(
      await checkStorePairing(first.db, first.store),
      'behind',
      'bug: a database restored from before the last look had every newer file swept'
    )
    await first.store.setSweepCount(0)
    t.equal(
      await checkStorePairing(first.db, first.store),
      'paired',
      'a folder restored from before it: what it has more has no row for good'
    )
    await second.db.deleteFrom('server_facts').execute()
    t.equal(await checkStorePairing(second.db, second.store), 'unrelated', 'an empty database on a folder in use')
    await rm(join(first.folder, 'uploads', '.store-id'))
    t.equal(await checkStorePairing(first.db, first.store), 'unrelated', 'a folder that lost its id')
  }
)

t.test(
  'a database that was rolled back under a running server, and a second installation on its folder, sweep nothing',
  async (t) => {
    const { env, folder } = await testEnvironment(t)
    const db = openDatabase(loadConfig(env).database)
    t.teardown(() => db.destroy())
    await migrate(db, migrations)
    const store = await openDiskStore(join(folder, 'uploads'))
    t.equal(await checkStorePairing(db, store), 'paired')
    const looks = (value: string) =>
      db.updateTable('server_facts').set({ value }).where('name', '=', 'storage.age').execute()
    for (let sweep = 1; sweep <= 5; sweep++) t.equal(await recordSweep(db, store), 'paired', `sweep ${sweep}`)
    t.equal(await store.sweepCount(), 5)

    await looks('3')
    for (let look = 1; look <= 4; look++) {
      t.equal(
        await recordSweep(db, store),
        'behind',
        'bug: a look overwrote the higher count of the folder, and files were deleted'
      )
    }
    await looks('5')
    t.equal(await recordSweep(db, store), 'behind', 'the database of another installation on this folder stops too')

    await store.setSweepCount(0)
    t.equal(await recordSweep(db, store), 'paired', 'until somebody decides')
    t.same(
      await Promise.all(Array.from({ length: 10 }, () => recordSweep(db, store))),
      Array(10).fill('paired'),
      'ten processes at once'
    )
    t.equal(await recordSweep(db, store), 'paired')
  }
)
