import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { problems } from '../../../../src/schemas/problem-codes.js'
import { startNginx, withoutNginx } from '../../../support/nginx-process.js'
import { ask, noiseWav } from '../../../support/raw-http.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { testEnvironment } from '../../../support/test-app.js'
import { newToken } from '../../../support/client.js'

/** More than the buffers of both sockets take. */
const FILE = noiseWav(24 * 1024 * 1024)
const LINK_LIMIT = 50

/** nginx in front of a server that leaves the bytes of one file to it. */
async function offloadingServer (t: Test) {
  const { env, folder } = await testEnvironment(t, { TRUSTED_PROXIES: '127.0.0.1', STREAM_OFFLOAD: 'x-accel' })
  const server = await startServer(t, env)
  const nginx = await startNginx(t, 'nginx-compose.conf', [server.origin], join(folder, 'uploads'))
  const token = await newToken(server.origin, 'owner@example.org')
  const headers = { authorization: `Bearer ${token}`, 'content-length': String(FILE.length) }
  const path = '/media/uploads?title=Noise&type=audio'
  const uploaded = await ask(server.origin, path, { method: 'PUT', headers, body: FILE })
  const { id } = JSON.parse(uploaded.body.toString()) as { id: string }
  const mint = async () => {
    const { body } = await call(nginx.origin, `/media/${id}/stream-url`, { token })
    const { pathname, search } = new URL(body.stream_url as string)
    return pathname + search
  }
  return { nginx, mint }
}

/** Begins a stream and reads nothing of it. */
async function begin (t: Test, origin: string, target: string): Promise<IncomingMessage> {
  const asked = request(origin + target, { agent: false }).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  reply.on('error', () => {}).pause()
  t.teardown(() => reply.destroy())
  return reply
}

t.test('with x-accel, nginx limits the streams of a link and of an address', { skip: withoutNginx }, async (t) => {
  const { nginx, mint } = await offloadingServer(t)
  const { origin } = nginx
  const [one, other, third] = [await mint(), await mint(), await mint()]
  const fill = async (target: string) => {
    const streams: IncomingMessage[] = []
    for (let index = 0; index < LINK_LIMIT; index++) streams.push(await begin(t, origin, target))
    t.same(new Set(streams.map(({ statusCode }) => statusCode)), new Set([200]))
    return streams
  }
  const isRefused = async (name: string, target: string, from?: string) => {
    const { status, headers, body } = await ask(origin, target, { from })
    t.match({ status, headers }, { status: 429, headers: { 'retry-after': '5', 'cache-control': 'no-store' } }, name)
    t.equal(headers['content-type'], 'application/problem+json')
    t.ok(headers['x-request-id'])
    t.match(JSON.parse(body.toString()), { code: 'too_many_streams', ...problems.too_many_streams })
  }

  const [first] = await fill(one)
  await isRefused('bug: one client of one link took as many connections as nginx has', one)
  await isRefused('the link, from another address', one, '127.0.0.2')
  await fill(other)
  await isRefused('the address', third)
  const played = await ask(origin, third, { from: '127.0.0.2' })
  t.ok(played.body.equals(FILE), 'another link from another address')
  t.equal((await ask(origin, '/livez')).status, 200, 'all else is served')

  first!.destroy()
  await eventually('a client that leaves makes room', async () => {
    return (await ask(origin, one, { headers: { range: 'bytes=0-99' } })).status === 206
  })
  t.notMatch((await nginx.accessLog()) + (await nginx.errorLog()), /sig=|kid=/)
})
