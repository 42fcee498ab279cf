import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import { ClockCheck } from '../../../src/maintenance/clock-check.js'
import { createMaintenanceTasks } from '../../../src/maintenance/maintenance-tasks.js'
import { DAY, MINUTE } from '../../../src/time.js'
import { testEnvironment } from '../../support/test-app.js'

const ROUND = 10 * MINUTE
const YEARS = 3650 * DAY

/** A database, and processes on it whose clocks a test moves. */
async function setUp (t: Test) {
  const { env } = await testEnvironment(t)
  const db = openDatabase(loadConfig(env).database)
  t.teardown(() => db.destroy())
  await migrate(db, migrations)
  let wall = Date.now()
  const logged: string[] = []
  const note = (_: object, text: string) => logged.push(text)

  /** Starts a process, with a wall clock that is off. */
  function start (offBy = 0) {
    const clock = { offBy, monotonic: 0 }
    const check = new ClockCheck({
      db,
      clock: { now: () => wall + clock.offBy, monotonicNow: () => clock.monotonic },
      log: { info: note, warn: note }
    })
    /** Runs rounds of maintenance; returns what each found. */
    const run = async (rounds: number) => {
      const found = new Set<boolean>()
      for (let round = 0; round < rounds; round++) {
        wall += ROUND
        clock.monotonic += ROUND
        found.add((await check.check()) !== undefined)
      }
      return [...found]
    }
    return { clock, check, run }
  }
  const pass = (milliseconds: number) => {
    wall += milliseconds
  }
  return { db, start, pass, logged }
}

t.test('a clock that jumps is not trusted however long it stays wrong, and is once it is back', async (t) => {
  const { start, logged } = await setUp(t)
  const { clock, run } = start()
  t.same(await run(10), [true])
  clock.offBy = YEARS
  t.same(await run(300), [false], 'bug: from its second round a wrong clock was steady')
  clock.offBy = -YEARS
  t.same(await run(10), [false])
  clock.offBy = 0
  t.same(await run(10), [true])
  t.match(logged, [/the clock jumped by more than a day/, /the clock is trusted/])
  t.equal(logged.length, 2, 'a line for each change')
})

t.test('a server that starts with a wrong clock removes nothing, and is right at once when the clock is', async (t) => {
  const { start, pass, logged } = await setUp(t)
  await start().run(1)
  pass(MINUTE)
  const { clock, run } = start(YEARS)
  t.same(await run(100), [false])
  t.match(logged.at(-1), /more than a day from the last start/)
  clock.offBy = 0
  t.same(await run(10), [true])
})

t.test('an installation that stood still for months trusts its clock after a day, restarts included', async (t) => {
  const { start, pass } = await setUp(t)
  await start().run(1)
  pass(100 * DAY)
  t.same(await start().run(48), [false], 'eight hours of the first day')
  pass(DAY - 8 * 60 * MINUTE)
  t.same(await start().run(48), [true], 'the next day')

  pass(100 * DAY)
  const { run } = start()
  t.same(await run(144), [false])
  t.same(await run(2), [true], 'and so does one that runs through')
})

t.test('of two processes the one with the wrong clock trusts it never, the other one always', async (t) => {
  const { start } = await setUp(t)
  const right = start()
  await right.run(1)
  const wrong = start(YEARS)
  const found = new Set<string>()
  for (let round = 0; round < 200; round++) found.add([await right.run(1), await wrong.run(1)].join())
  t.same([...found], ['true,false'])
})

t.test('a database of an older version is judged by its newest session', async (t) => {
  const { db, start } = await setUp(t)
  const [accountId, now, email] = [randomUUID(), Date.now(), 'ada@example.org']
  await db
    .insertInto('accounts')
    .values({ id: accountId, email, email_key: email, password_hash: '', role: 'admin', disabled: 0, created_at: now })
    .execute()
  await db
    .insertInto('sessions')
    .values({ id: randomUUID(), account_id: accountId, created_at: now, expires_at: now + DAY })
    .execute()
  t.equal(await start(YEARS).check.check(), undefined)
  t.type(await start().check.check(), 'number')
})

t.test('removals use the time that was checked (bug: a jump after the check ended all sessions)', async (t) => {
  const { db } = await setUp(t)
  const right = Date.now()
  let reads = 0
  const removedAt: number[] = []
  const options = {
    config: { viewRetentionDays: 0 },
    db,
    clock: { now: () => (reads++ % 2 === 0 ? right : right + YEARS), monotonicNow: () => 0 },
    sessions: { sweep: async (now: number) => removedAt.push(now) },
    providers: { mux: { events: { forgetOld: async (now: number) => removedAt.push(now) } } },
    log: { info () {}, warn () {}, error () {} }
  }
  const { periodic } = createMaintenanceTasks(options as unknown as Parameters<typeof createMaintenanceTasks>[0])
  const byAge = periodic.filter(({ failureMessage }) => /Mux events|expired sessions/.test(failureMessage))
  for (const task of [...byAge, ...byAge]) {
    reads = 0
    await task.run(new AbortController().signal)
  }
  t.same(removedAt, [right, right, right, right])
})
