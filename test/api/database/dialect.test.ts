import { sql, type Kysely } from 'kysely'
import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { nonDurableTransaction } from '../../../src/database/dialect.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import type { Database } from '../../../src/database/tables.js'
import { engine, testEnvironment } from '../../support/test-app.js'

t.test('a relaxed transaction waits for no fsync, and all others do', async (t) => {
  const { env } = await testEnvironment(t)
  const db = openDatabase(loadConfig(env).database)
  t.teardown(() => db.destroy())
  await migrate(db, migrations)
  const durability = async (on: Kysely<Database>) =>
    engine === 'sqlite'
      ? (await sql<{ synchronous: number }>`pragma synchronous`.execute(on)).rows[0]!.synchronous
      : (await sql<{ synchronous_commit: string }>`show synchronous_commit`.execute(on)).rows[0]!.synchronous_commit
  const [relaxed, full] = engine === 'sqlite' ? [1, 2] : ['off', 'on']
  const write = (on: Kysely<Database>, name: string) =>
    on.insertInto('server_facts').values({ name, value: 'x' }).execute()
  for (let round = 0; round < 3; round++) {
    await Promise.all([
      nonDurableTransaction(db, async (trx) => {
        t.equal(await durability(trx), relaxed, 'within')
        await write(trx, `relaxed ${round}`)
      }),
      db.transaction().execute(async (trx) => {
        t.equal(await durability(trx), full, 'beside')
        await write(trx, `durable ${round}`)
      })
    ])
    await t.rejects(
      nonDurableTransaction(db, async (trx) => {
        await write(trx, `broken off ${round}`)
        throw new Error('broken off')
      }),
      /broken off/
    )
    t.equal(await durability(db), full, 'after one that was rolled back')
  }
  t.equal((await db.selectFrom('server_facts').select('name').where('value', '=', 'x').execute()).length, 6)
})

t.test(
  "a page is cut by limit and offset, and its limit is no part of SQLite's plan (bug: the statement was prepared " +
    'again each time it was bound)',
  async (t) => {
    const { env } = await testEnvironment(t)
    const db = openDatabase(loadConfig(env).database)
    t.teardown(() => db.destroy())
    await migrate(db, migrations)
    const page = db.selectFrom('server_facts').select('name').orderBy('name').limit(2).offset(1)
    if (engine === 'sqlite') t.match(page.compile().sql, /limit cast\(\? as integer\) offset \?$/)
    await db
      .insertInto('server_facts')
      .values(['a', 'b', 'c', 'd'].map((name) => ({ name: `0${name}`, value: 'x' })))
      .execute()
    t.same(
      (await page.execute()).map(({ name }) => name),
      ['0b', '0c']
    )
  }
)
