import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildTestApp, type TestApp } from '../../../support/test-app.js'
import { fixture } from '../../../support/fixtures.js'
import { form, mintLink, signUpEverybody, upload, type Person } from '../../../support/client.js'
import { noiseWav } from '../../../support/raw-http.js'

const MiB = 1024 * 1024
/** More than the buffers of both sockets take. */
const BIG = noiseWav(24 * MiB)

/** A server that checks what is under way 50 times a second. */
const impatientServer = async (t: Test) => await buildTestApp(t, {}, { reviewEveryMs: 20 })

/** Begins a download and reads nothing of it. */
async function begin (server: TestApp, path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const asked = request((await server.listen()) + path, { headers, agent: false })
  asked.end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  if (reply.statusCode !== 200) throw new Error(`refused: ${reply.statusCode}`)
  return reply
}

/** Reads a download to its end: whether all of it came. */
async function isWhole (reply: IncomingMessage): Promise<boolean> {
  let bytes = 0
  reply.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  reply.on('error', () => {})
  await new Promise((resolve) => {
    reply.once('close', resolve)
  })
  return bytes === BIG.length
}

const streamsUnderWay = async ({ inject }: TestApp) =>
  Number(/playgate_streams (\d+)/.exec((await inject({ url: '/metrics' })).body)?.[1])

/** Resolves when no stream is under way any more. */
async function allCut (server: TestApp): Promise<void> {
  for (let tries = 0; (await streamsUnderWay(server)) > 0; tries++) {
    if (tries === 500) throw new Error('a stream goes on')
    await sleep(20)
  }
}

t.test('a stream ends soon after the right to it', async (t) => {
  const ends: Array<
    [
      name: string,
      end: (server: TestApp, people: { admin: Person; instructor: Person }, id: string) => Promise<unknown>
    ]
  > = [
    [
      'the link is revoked',
      ({ inject }, { instructor }, id) =>
        inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: instructor.headers })
    ],
    [
      'the link expires',
      async ({ clock }) => {
        clock.advance(601_000)
      }
    ],
    [
      'the account of the link is disabled',
      ({ inject }, { admin, instructor }) =>
        inject({ method: 'PATCH', url: `/users/${instructor.id}`, headers: admin.headers, payload: { disabled: true } })
    ],
    [
      'the media is deleted',
      ({ inject }, { instructor }, id) => inject({ method: 'DELETE', url: `/media/${id}`, headers: instructor.headers })
    ]
  ]
  for (const [name, end] of ends) {
    const server = await impatientServer(t)
    const people = await signUpEverybody(server)
    const { id } = (await upload(server, people.instructor, BIG, { type: 'audio' })).json<{ id: string }>()
    const reply = await begin(server, await mintLink(server, id, people.instructor))
    await end(server, people, id)
    await allCut(server)
    t.notOk(await isWhole(reply), name)
  }
})

t.test('a stream by a token ends with the session; another one, and one whose token expires, go on', async (t) => {
  const server = await impatientServer(t)
  const { instructor } = await signUpEverybody(server)
  const { id } = (await upload(server, instructor, BIG, { type: 'audio' })).json<{ id: string }>()
  const logIn = async () => {
    const reply = await server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: instructor.email, password: 'secure_password123' }
    })
    return { authorization: `Bearer ${reply.json<{ token: string }>().token}` }
  }
  const [one, other] = [await logIn(), await logIn()]
  const ending = await begin(server, `/media/stream/${id}`, one)
  const going = await begin(server, `/media/stream/${id}`, other)
  t.equal((await server.inject({ method: 'POST', url: '/auth/logout', headers: one })).statusCode, 204)
  server.clock.advance(3600_000)
  for (let tries = 0; (await streamsUnderWay(server)) > 1 && tries < 500; tries++) await sleep(20)
  t.notOk(await isWhole(ending), 'the session that was ended')
  t.ok(await isWhole(going), 'the other one')
})

t.test('an upload of an account that was disabled meanwhile leaves nothing', async (t) => {
  const server = await impatientServer(t)
  const { admin, instructor } = await signUpEverybody(server)
  const origin = await server.listen()
  const disable = (disabled: boolean) =>
    server.inject({ method: 'PATCH', url: `/users/${instructor.id}`, headers: admin.headers, payload: { disabled } })
  const { headers, payload } = form([
    { name: 'title', value: 'x' },
    { name: 'type', value: 'video' },
    { name: 'file', value: await fixture('tiny.mp4'), fileName: 'a.mp4' }
  ])
  const ways: Array<[method: string, url: string, headers: Record<string, string>, body: Buffer]> = [
    ['POST', '/media', headers, payload],
    ['PUT', '/media/uploads?title=x&type=video', {}, await fixture('tiny.mp4')]
  ]
  for (const [method, url, own, body] of ways) {
    await disable(false)
    const login = await server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: instructor.email, password: 'secure_password123' }
    })
    const authorization = `Bearer ${login.json<{ token: string }>().token}`
    const sent = request(origin + url, {
      method,
      headers: { ...own, authorization, 'content-length': String(body.length) },
      agent: false
    })
    sent.write(body.subarray(0, body.length - 10))
    const outcome = new Promise<number>((resolve) => {
      sent.once('response', (reply: IncomingMessage) => resolve(reply.statusCode ?? 0))
      sent.on('error', () => resolve(0))
    })
    for (let tries = 0; (await server.storedFiles()).length === 0 && tries < 500; tries++) await sleep(10)
    await disable(true)
    t.not(await outcome, 201, `${method} ${url}`)
    sent.destroy()
    for (let tries = 0; (await server.storedFiles()).length > 0 && tries < 500; tries++) await sleep(10)
    t.same(await server.storedFiles(), [])
  }
  t.same(await server.query('select id from media'), [])
})

t.test('publishing asks the account again in its transaction', async (t) => {
  const server = await buildTestApp(t, {}, { reviewEveryMs: 3_600_000 })
  const { instructor } = await signUpEverybody(server)
  const body = await fixture('tiny.mp4')
  const sent = request(`${await server.listen()}/media/uploads?title=x&type=video`, {
    method: 'PUT',
    headers: { ...instructor.headers, 'content-length': String(body.length) },
    agent: false
  })
  sent.write(body.subarray(0, body.length - 10))
  for (let tries = 0; (await server.storedFiles()).length === 0 && tries < 500; tries++) await sleep(10)
  await server.query(`update accounts set disabled = 1 where id = '${instructor.id}'`)
  sent.end(body.subarray(body.length - 10))
  const [reply] = (await once(sent, 'response')) as [IncomingMessage]
  reply.resume()
  t.equal(reply.statusCode, 401)
  t.same([await server.storedFiles(), await server.query('select id from media')], [[], []])
})
