import t from 'tap'
import { eventually } from '../../../support/server-process.js'
import { buildTestApp } from '../../../support/test-app.js'
import { fixture } from '../../../support/fixtures.js'
import { signUp, upload } from '../../../support/client.js'
import { shown } from '../../../support/protected-server.js'
import { Threads } from '../../../support/threads.js'

const film = await fixture('tiny.mp4')

t.test('a packager thread that ends is started again by a retry; one that always ends fails its media', async (t) => {
  const server = await buildTestApp(t)
  await server.listen()
  const owner = await signUp(server)
  const threads = new Threads(t)
  const settle = async (ends: number) => {
    threads.endNext(ends)
    const { id } = (await upload(server, owner, film, { protection: 'encrypted' })).json<{ id: string }>()
    await eventually('its job is done', async () => {
      // Retries wait for minutes by this clock.
      server.clock.advance(60_000)
      return (await server.query('select id from jobs')).length === 0
    })
    threads.endNext(0)
    return await shown(server, id, owner)
  }
  t.match(await settle(2), { status: 'ready' })
  t.match(await settle(100), { status: 'failed', error: { code: 'packaging_failed' } })
  t.match(await settle(0), { status: 'ready' })
})
