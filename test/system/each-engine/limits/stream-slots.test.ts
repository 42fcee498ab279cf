import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { buildTestApp, type TestApp } from '../../../support/test-app.js'
import { eventually } from '../../../support/server-process.js'
import { mintLink, signUp, upload } from '../../../support/client.js'
import { ask, noiseWav } from '../../../support/raw-http.js'

const MiB = 1024 * 1024
const SECOND = 1000
/** More than the buffers of both sockets take. */
const FILE = noiseWav(40 * MiB)

/** A server with one audio file and its owner, who mints links for an audience. */
async function serverWithAudio (t: Test, env: Record<string, string> = {}) {
  const server = await buildTestApp(t, env)
  const origin = await server.listen()
  const owner = await signUp(server)
  const { id } = (await upload(server, owner, FILE, { type: 'audio' })).json<{ id: string }>()
  return { server, origin, mint: () => mintLink(server, id, owner) }
}

/** Begins a stream and reads nothing of it. */
async function begin (
  t: Test,
  origin: string,
  target: string,
  { from = '127.0.0.1', headers = {} } = {}
): Promise<IncomingMessage> {
  const asked = request(origin + target, { agent: false, localAddress: from, headers }).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  reply.on('error', () => {}).pause()
  t.teardown(() => reply.destroy())
  return reply
}

/** Reads `bytes` more and pauses again; returns how many came before the end. */
async function readOn (reply: IncomingMessage, bytes: number): Promise<number> {
  let received = 0
  await new Promise<void>((resolve) => {
    const onData = (chunk: Buffer) => {
      received += chunk.length
      if (received < bytes) return
      reply.off('data', onData).pause()
      resolve()
    }
    reply.on('data', onData).once('close', resolve).resume()
  })
  return received
}

async function metric ({ inject }: TestApp, name: string): Promise<number> {
  const { body } = await inject({ url: '/metrics' })
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(body)?.[1])
}

t.test(
  'one viewer of one link takes 50 slots; a viewer of another link of the account plays (bug: 500 were all of them)',
  async (t) => {
    const { server, origin, mint } = await serverWithAudio(t)
    const [shared, other] = [await mint(), await mint()]
    for (let index = 0; index < 50; index++) t.equal((await begin(t, origin, shared)).statusCode, 200)
    const refused = await ask(origin, shared)
    t.equal(refused.status, 429)
    t.equal(refused.headers['retry-after'], '5')
    t.match(JSON.parse(refused.body.toString()), { code: 'too_many_streams', limit: 50 })
    t.notMatch(refused.body.toString(), /sig=|lid=/)
    t.equal((await ask(origin, shared, { from: '127.0.0.2' })).status, 429, 'from another address too')
    t.equal(await metric(server, 'playgate_streams'), 50)
    const played = await ask(origin, other, { from: '127.0.0.2' })
    t.ok(played.body.equals(FILE))
  }
)

t.test('one address takes 100 slots by any number of links; other addresses play', async (t) => {
  const { origin, mint } = await serverWithAudio(t)
  for (const link of [await mint(), await mint()]) for (let index = 0; index < 50; index++) await begin(t, origin, link)
  const third = await mint()
  const refused = await ask(origin, third)
  t.match(JSON.parse(refused.body.toString()), { code: 'too_many_streams', limit: 100 })
  t.equal((await ask(origin, third, { from: '127.0.0.2', headers: { range: 'bytes=0-99' } })).status, 206)
})

t.test(
  'where slots are scarce, a stalled stream makes room and goes on by range; one that moves is not ended',
  async (t) => {
    const { server, origin, mint } = await serverWithAudio(t, { MAX_CONCURRENT_STREAMS_PER_LINK: '2' })
    const link = await mint()
    const stalled = await begin(t, origin, link)
    const moving = await begin(t, origin, link)
    t.equal((await ask(origin, link)).status, 429, 'none is stalled yet')
    // Two looks: a kernel that takes a part of the last block late makes the first one see progress.
    let part = 0
    for (let look = 0; look < 2; look++) {
      server.clock.advance(20 * SECOND)
      part += await readOn(moving, 12 * MiB)
      server.clock.advance(11 * SECOND)
      if (look === 0) await ask(origin, link, { headers: { range: 'bytes=0-99' } })
    }
    const newcomer = await begin(t, origin, link)
    t.equal(newcomer.statusCode, 200, 'bug: a client that takes nothing kept its slot until the timeout of its socket')
    t.equal(await metric(server, 'playgate_stalled_streams_total'), 1)
    t.equal((await ask(origin, link)).status, 429, 'the others hold their speed')
    const received = await readOn(stalled, FILE.length)
    t.ok(received < FILE.length, 'the stalled one was ended')
    t.equal(part + (await readOn(moving, FILE.length)), FILE.length, 'the moving one has all')
    await eventually('its slot is free', async () => (await metric(server, 'playgate_streams')) === 1)
    const rest = await ask(origin, link, { headers: { range: `bytes=${received}-` } })
    t.equal(rest.status, 206)
    t.ok(rest.body.equals(FILE.subarray(received)))
  }
)

t.test('a stalled stream stays while there is room', async (t) => {
  const { server, origin, mint } = await serverWithAudio(t, { MAX_CONCURRENT_STREAMS_PER_LINK: '2' })
  const link = await mint()
  const stalled = await begin(t, origin, link)
  server.clock.advance(60 * SECOND)
  t.equal((await ask(origin, link, { headers: { range: 'bytes=0-99' } })).status, 206)
  t.equal(await readOn(stalled, FILE.length), FILE.length)
})
