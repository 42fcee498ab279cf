import t from 'tap'
import { openDatabase } from '../../../src/database/open.js'
import { Renditions } from '../../../src/renditions/renditions.js'
import { systemClock } from '../../../src/time.js'
import { newLinkedMedia, signUp } from '../../support/client.js'
import { buildTestApp } from '../../support/test-app.js'

/** More than a page. */
const DELETED = 201

t.test('missing renditions are queued once, behind a page of deleted media (bug: the scan ended there)', async (t) => {
  const server = await buildTestApp(t)
  const owner = await signUp(server)
  const ids: string[] = []
  for (let media = 0; media <= DELETED; media++) ids.push(await newLinkedMedia(server, owner))
  const last = ids.sort().at(-1)!
  await server.query('update media set playable_everywhere = 0')
  await server.query(`update media set deleted_at = 1 where id <> '${last}'`)
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const processes = [0, 1].map(() => new Renditions({ db, clock: systemClock, isOn: true }))
  const { signal } = new AbortController()
  const queued = await Promise.all(processes.map((renditions) => renditions.queueMissing(signal)))
  t.same(queued.sort(), [0, 1], 'two processes that start together queue it once')
  t.match(await server.query("select rendition_of from jobs where kind = 'rendition'"), [{ rendition_of: last }])
})

t.test('a media that was protected meanwhile waits for no rendition', async (t) => {
  const server = await buildTestApp(t)
  const owner = await signUp(server)
  const id = await newLinkedMedia(server, owner)
  await server.query("update media set playable_everywhere = 0, protection = 'encrypted'")
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const renditions = new Renditions({ db, clock: systemClock, isOn: true })
  t.equal(await renditions.queueMissing(new AbortController().signal), 0)
  t.match(await server.query(`select rendition_status from media where id = '${id}'`), [{ rendition_status: null }])
})
