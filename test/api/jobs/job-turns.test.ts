import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import { claimJob, deleteJob, insertJob } from '../../../src/jobs/job-store.js'
import { buildTestApp, signUp, upload } from '../../support/test-app.js'

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
