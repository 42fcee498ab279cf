import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { migrations } from '../../migrations/index.js'
import { loadConfig } from '../../src/config.js'
import { migrate } from '../../src/database/migrate.js'
import { openDatabase } from '../../src/database/open.js'
import { bindStore } from '../../src/media/store-binding.js'
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
  t.same(await Promise.all(Array.from({ length: 5 }, () => bindStore(first.db, first.store))), Array(5).fill(true), 'new ones, by five processes at once')
  t.ok(await bindStore(second.db, second.store))
  t.ok(await bindStore(first.db, first.store), 'and again')
  t.notOk(await bindStore(first.db, second.store), 'a wrong folder')
  t.notOk(await bindStore(first.db, await openDiskStore(join(first.folder, 'not-mounted'))), 'an empty folder')
  await second.db.deleteFrom('server_facts').execute()
  t.notOk(await bindStore(second.db, second.store), 'an empty database on a folder in use')
  await rm(join(first.folder, 'uploads', '.store-id'))
  t.notOk(await bindStore(first.db, first.store), 'a folder that lost its id')
})
