import SQLite from 'better-sqlite3'
import t from 'tap'
import type { DatabaseConfig } from '../../../src/config/database.js'
import { buildTestApp } from '../../support/test-app.js'
import { newCourse } from '../../support/courses.js'
import { done, signUpEverybody } from '../../support/client.js'

t.test(
  'while another connection holds the write lock, reads go on and writes wait without the event loop (bug: all ' +
    'stood still)',
  async (t) => {
    const server = await buildTestApp(t)
    const { admin } = await signUpEverybody(server)
    await newCourse(server, admin)
    const { path } = server.config.database as DatabaseConfig & { engine: 'sqlite' }
    const other = new SQLite(path)
    other.exec('begin immediate')
    let written = false
    const write = newCourse(server, admin).then(() => {
      written = true
    })
    for (let round = 0; round < 20; round++) {
      t.equal((await done<{ total: number }>(server, 'GET', '/course/all')).total, 1)
    }
    t.notOk(written, 'it still waits')
    other.exec('rollback')
    other.close()
    await write
    t.equal((await done<{ total: number }>(server, 'GET', '/course/all')).total, 2)
  }
)

t.test('a read outside of a transaction does not see what is not committed, and one inside does', async (t) => {
  const { openDatabase } = await import('../../../src/database/open.js')
  const server = await buildTestApp(t)
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const find = () => db.selectFrom('server_facts').select('value').where('name', '=', 'a test').executeTakeFirst()
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await trx.insertInto('server_facts').values({ name: 'a test', value: 'x' }).execute()
      t.same(await trx.selectFrom('server_facts').select('value').where('name', '=', 'a test').executeTakeFirst(), {
        value: 'x'
      })
      t.equal(await find(), undefined)
      throw new Error('undone')
    }),
    /undone/
  )
  t.equal(await find(), undefined)
  const order: number[] = []
  await Promise.all(
    [1, 2, 3].map((number) =>
      db.transaction().execute(async (trx) => {
        await trx.selectFrom('server_facts').select('name').execute()
        order.push(number)
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        order.push(number)
      })
    )
  )
  t.same(order, [1, 1, 2, 2, 3, 3], 'transactions take turns')
})
