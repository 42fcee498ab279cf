import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import { claimJob, deleteJob, insertJob, updateJob } from '../../../src/jobs/job-store.js'
import { DAY, MINUTE, SECOND } from '../../../src/time.js'
import { buildTestApp } from '../../support/test-app.js'
import { signUp, upload } from '../../support/client.js'

t.test('jobs take turns by account: many of one do not hold up the first of another', async (t) => {
  const server = await buildTestApp(t)
  const [busy, other] = [await signUp(server), await signUp(server)]
  const mediaOf = async (person: typeof busy) =>
    (await upload(server, person, 'tiny.mp3', { type: 'audio' })).json<{ id: string }>().id
  const db = openDatabase(loadConfig(server.env).database)
  t.teardown(() => db.destroy())
  await migrate(db, migrations)
  const owners = new Map<string, string>()
  const queue = async (person: typeof busy, name: string, now: number) => {
    const id = await mediaOf(person)
    owners.set(id, name)
    await db.transaction().execute((trx) => insertJob(trx, 'package', id, now))
  }
  const served: string[] = []
  const serve = async () => {
    const job = (await claimJob(db, ['package'], 1000, 1000))!
    await deleteJob(db, job.id)
    served.push(owners.get(job.mediaId)!)
  }

  for (let index = 0; index < 4; index++) await queue(busy, 'busy', index)
  await serve()
  await serve()
  await queue(other, 'other', 10)
  await queue(other, 'other', 11)
  for (let index = 0; index < 4; index++) await serve()
  t.same(served, ['busy', 'busy', 'busy', 'other', 'busy', 'other'])
})

t.test(
  'a job that was queued, leased or put off while the clock was years ahead is due when it is right',
  async (t) => {
    const server = await buildTestApp(t)
    const person = await signUp(server)
    const { id } = (await upload(server, person, 'tiny.mp3', { type: 'audio' })).json<{ id: string }>()
    const db = openDatabase(loadConfig(server.env).database)
    t.teardown(() => db.destroy())
    const [now, ahead] = [server.clock.now, server.clock.now + 3650 * DAY]
    await db.transaction().execute((trx) => insertJob(trx, 'package', id, ahead))
    t.match(await claimJob(db, ['package'], now, SECOND), { mediaId: id }, 'bug: it waited for ten years')
    t.equal(await claimJob(db, ['package'], now, SECOND), undefined, 'a lease holds')
    t.match(await claimJob(db, ['package'], ahead, SECOND), { mediaId: id })
    const job = (await claimJob(db, ['package'], now, SECOND))!
    t.match(job, { mediaId: id }, 'a lease of the wrong clock does not')
    await updateJob(db, job.id, { runAfter: now + 15 * MINUTE })
    t.equal(await claimJob(db, ['package'], now, SECOND), undefined, 'the longest delay is kept')
  }
)
