import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { migrations } from '../../migrations/index.js'
import { loadConfig } from '../../src/config.js'
import { migrate } from '../../src/database/migrate.js'
import { openDatabase } from '../../src/database/open.js'
import { bindStore, countLook } from '../../src/media/store-binding.js'
import { openDiskStore } from '../../src/storage/disk-store.js'
import { testEnvironment } from '../helper.js'

t.test('database and folder are bound to one another; bug: a sweep with the wrong one took every file for left over', async (t) => {
  const databases = await Promise.all([1, 2].map(async () => {
    const { env, folder } = await testEnvironment(t)
    const db = openDatabase(loadConfig(env).database)
    t.teardown(() => db.destroy())
    await migrate(db, migrations)
    return { db, folder, store: await openDiskStore(join(folder, 'uploads')) }
  }))
  const [first, second] = databases as [typeof databases[0], typeof databases[0]]
  t.same(await Promise.all(Array.from({ length: 5 }, () => bindStore(first.db, first.store))), Array(5).fill('bound'), 'new ones, by five processes at once')
  t.equal(await bindStore(second.db, second.store), 'bound')
  t.equal(await bindStore(first.db, first.store), 'bound', 'and again')
  t.equal(await bindStore(first.db, second.store), 'strangers', 'a wrong folder')
  t.equal(await bindStore(first.db, await openDiskStore(join(first.folder, 'not-mounted'))), 'strangers', 'an empty folder')
  await countLook(first.db, first.store)
  await countLook(first.db, first.store)
  t.equal(await bindStore(first.db, first.store), 'bound', 'after looks')
  await first.db.updateTable('server_facts').set({ value: '1' }).where('name', '=', 'storage.age').execute()
  t.equal(await bindStore(first.db, first.store), 'behind', 'bug: a database restored from before the last look had every newer file swept')
  await first.store.grow(0)
  t.equal(await bindStore(first.db, first.store), 'bound', 'a folder restored from before it: what it has more has no row for good')
  await second.db.deleteFrom('server_facts').execute()
  t.equal(await bindStore(second.db, second.store), 'strangers', 'an empty database on a folder in use')
  await rm(join(first.folder, 'uploads', '.store-id'))
  t.equal(await bindStore(first.db, first.store), 'strangers', 'a folder that lost its id')
})
