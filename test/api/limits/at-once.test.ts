import fastify from 'fastify'
import { once } from 'node:events'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import errors from '../../../plugins/errors.js'
import requestBodies, { type BodyLimits } from '../../../plugins/slow-bodies.js'
import requestUrl from '../../../plugins/origin.js'
import { buildTestApp, type TestApp } from '../../support/test-app.js'
import { eventually } from '../../support/server-process.js'
import { form, mintLink, signUp, upload, type Person } from '../../support/client.js'
import { ask, noiseWav } from '../../support/raw-http.js'

const KiB = 1024
const MiB = 1024 * KiB

interface Sending {
  sent: ClientRequest
  rest: Buffer
  answer: Promise<{ status: number; body: { code?: string; used_bytes?: number }; headers: IncomingMessage['headers'] }>
}

/** Begins an upload and sends a part of it. */
function beginUpload (
  origin: string,
  person: Person,
  content: Buffer,
  { from = '127.0.0.1', bytes = 300 } = {}
): Sending {
  const { headers, payload } = form([
    { name: 'title', value: 'Noise' },
    { name: 'type', value: 'audio' },
    { name: 'file', value: content, fileName: 'a.wav' }
  ])
  const sent = request(`${origin}/media`, {
    method: 'POST',
    agent: false,
    localAddress: from,
    headers: { ...headers, ...person.headers, 'content-length': payload.length }
  })
  sent.write(payload.subarray(0, bytes))
  const answer = (once(sent, 'response') as Promise<[IncomingMessage]>).then(async ([reply]) => ({
    status: reply.statusCode!,
    headers: reply.headers,
    body: JSON.parse((await reply.toArray()).join('')) as { code?: string; used_bytes?: number }
  }))
  answer.catch(() => {})
  return { sent, answer, rest: payload.subarray(bytes) }
}
const finish = async ({ sent, rest, answer }: Sending) => {
  sent.end(rest)
  return await answer
}
const gauge = async ({ inject }: TestApp, name: string) =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec((await inject({ url: '/metrics' })).body)![1])

t.test(
  'uploads at once are bounded by account and address (429), and in all (503); one that ends makes room',
  async (t) => {
    const server = await buildTestApp(t, {
      MAX_CONCURRENT_UPLOADS_PER_ACCOUNT: '2',
      MAX_CONCURRENT_UPLOADS_PER_ADDRESS: '3',
      MAX_CONCURRENT_UPLOADS: '4'
    })
    const origin = await server.listen()
    const [first, second, third] = [await signUp(server), await signUp(server), await signUp(server)]
    const wav = noiseWav(10 * KiB)
    const begin = async (person: Person, from?: string) => {
      const before = await gauge(server, 'playgate_uploads')
      const sending = beginUpload(origin, person, wav, { from })
      await eventually('it is received', async () => (await gauge(server, 'playgate_uploads')) > before)
      return sending
    }
    const refused = async (person: Person, status: number, code: string, from?: string) => {
      const { sent, answer } = beginUpload(origin, person, wav, { from })
      const { headers, ...reply } = await answer
      t.match(reply, { status, body: { code } })
      t.equal(headers['retry-after'], '5')
      sent.destroy()
    }
    const running = [await begin(first), await begin(first)]
    await refused(first, 429, 'too_many_uploads', '127.0.0.2')
    running.push(await begin(second))
    await refused(third, 429, 'too_many_uploads')
    running.push(await begin(third, '127.0.0.2'))
    await refused(third, 503, 'overloaded', '127.0.0.3')
    t.equal((await finish(running.shift()!)).status, 201)
    running.push(await begin(first, '127.0.0.2'))
    running[0]!.sent.destroy()
    await eventually('a client that leaves makes room', async () => (await gauge(server, 'playgate_uploads')) === 3)
    for (const sending of running.slice(1)) t.equal((await finish(sending)).status, 201)
    t.equal(await gauge(server, 'playgate_uploads'), 0)
  }
)

t.test('what is stored and all that is coming in never pass the quota together', async (t) => {
  const server = await buildTestApp(t, { QUOTA_BYTES: String(10 * MiB) })
  const origin = await server.listen()
  const person = await signUp(server)
  const wav = noiseWav(4 * MiB)
  const running = [1, 2, 3].map(() => beginUpload(origin, person, wav, { bytes: 3 * MiB }))
  const replies = await Promise.all(running.map(async (sending) => await finish(sending)))
  t.same(
    replies.map(({ status }) => status).sort(),
    [201, 201, 413],
    'bug: each had the whole quota to itself while it came in'
  )
  t.match(replies.find(({ status }) => status === 413)!.body, { code: 'quota_exceeded' })
  t.equal((await finish(beginUpload(origin, person, noiseWav(MiB)))).status, 201, 'what was refused holds no room')
  t.match((await finish(beginUpload(origin, person, wav))).body, {
    code: 'quota_exceeded',
    used_bytes: 2 * (4 * MiB + 44) + MiB + 44
  })
})

t.test('a body that is larger than any good one is refused before it comes', async (t) => {
  const server = await buildTestApp(t, { MAX_UPLOAD_BYTES: '1000' })
  const origin = await server.listen()
  const person = await signUp(server)
  const sent = request(`${origin}/media`, {
    method: 'POST',
    agent: false,
    headers: { ...person.headers, 'content-type': 'multipart/form-data; boundary=x', 'content-length': 1e12 }
  })
  sent.flushHeaders()
  const [reply] = (await once(sent, 'response')) as [IncomingMessage]
  t.equal(reply.statusCode, 413)
  t.match(JSON.parse((await reply.toArray()).join('')), { code: 'upload_too_large', max_bytes: 1000 })
  sent.on('error', () => {}).destroy()
})

t.test(
  'streams at once are bounded by account and address (429), and in all (503); one that ends, or whose client ' +
    'leaves, makes room',
  async (t) => {
    const server = await buildTestApp(t, {
      MAX_CONCURRENT_STREAMS_PER_ACCOUNT: '3',
      MAX_CONCURRENT_STREAMS_PER_ADDRESS: '2',
      MAX_CONCURRENT_STREAMS: '4'
    })
    const origin = await server.listen()
    const owner = await signUp(server)
    const { id } = (await upload(server, owner, noiseWav(16 * MiB), { type: 'audio', visibility: 'public' })).json<{
      id: string
    }>()
    const [link, anyones] = [await mintLink(server, id, owner), await mintLink(server, id)]
    const open: IncomingMessage[] = []
    const stream = async (target: string, from: string) => {
      const sent = request(origin + target, { agent: false, localAddress: from, headers: {} }).end()
      const [reply] = (await once(sent, 'response')) as [IncomingMessage]
      reply.on('error', () => {}).pause()
      if (reply.statusCode === 200) open.push(reply)
      return reply
    }
    const refused = async (target: string, from: string, status: number, code: string) => {
      const { status: answered, headers, body } = await ask(origin, target, { from })
      t.match(
        { answered, retry: headers['retry-after'], body: body.toString() },
        { answered: status, retry: '5', body: code }
      )
    }
    for (const from of ['127.0.0.1', '127.0.0.1', '127.0.0.2']) t.equal((await stream(link, from)).statusCode, 200)
    await refused(anyones, '127.0.0.1', 429, 'too_many_streams')
    await refused(link, '127.0.0.3', 429, 'too_many_streams')
    t.equal((await stream(anyones, '127.0.0.3')).statusCode, 200)
    await refused(anyones, '127.0.0.4', 503, 'overloaded')
    for (const method of ['HEAD', 'GET']) {
      t.equal((await ask(origin, `/media/${id}`, { method, from: '127.0.0.1' })).status, 200, 'all else goes on')
    }
    t.equal((await ask(origin, link, { method: 'HEAD' })).status, 200, 'a HEAD takes no place')
    open.shift()!.destroy()
    await eventually('a client that leaves makes room', async () => (await gauge(server, 'playgate_streams')) === 3)
    t.equal((await ask(origin, link, { from: '127.0.0.1', headers: { range: 'bytes=5-9' } })).status, 206)
    await eventually('so does one that has all', async () => (await gauge(server, 'playgate_streams')) === 3)
    for (const reply of open) reply.destroy()
    await eventually('none is left', async () => (await gauge(server, 'playgate_streams')) === 0)
  }
)

/**
 * The plugins that meet bodies, with short times, and a route that takes JSON, one that refuses at once and one that
 * takes forms.
 */
async function bodies (t: Test, limits: Partial<BodyLimits>): Promise<{ port: number }> {
  const app = fastify({ bodyLimit: 64 * MiB })
  t.teardown(() => app.close())
  await app.register(requestUrl, { config: { publicUrl: undefined, trustedProxies: [] } })
  await app.register(errors)
  await app.register(requestBodies, limits)
  app.post('/json', async () => ({ taken: true }))
  app.post(
    '/slow',
    {
      preParsing: async () => {
        await new Promise((resolve) => {
          setTimeout(resolve, 1000)
        })
      }
    },
    async () => ({ taken: true })
  )
  app.post(
    '/refuse',
    { preParsing: async (_request, reply) => reply.code(413).send({ refused: true }) },
    async () => ({})
  )
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port }
}

/**
 * Sends a head, and then `piece` again and again until the socket is closed; answers what came back, and how much went
 * out.
 */
async function pour (
  port: number,
  head: string,
  piece: Buffer | string,
  pauseMs: number
): Promise<{ answer: string; bytes: number }> {
  const socket = connect({ host: '127.0.0.1', port }).setNoDelay(true)
  let answer = ''
  socket
    .on('error', () => {})
    .on('data', (data) => {
      answer += data.toString('latin1')
    })
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
  })
  socket.write(head)
  let open = true
  void closed.then(() => {
    open = false
  })
  while (open) {
    const goesOn = socket.write(piece)
    await Promise.race([
      closed,
      pauseMs > 0
        ? new Promise((resolve) => {
          setTimeout(resolve, pauseMs)
        })
        : goesOn
          ? new Promise((resolve) => {
            setImmediate(resolve)
          })
          : once(socket, 'drain').catch(() => {})
    ])
  }
  return { answer, bytes: socket.bytesWritten }
}
const head = (path: string, length: number | 'chunked') =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ` +
  `application/json\r\n${length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`}\r\n\r\n`

t.test(
  'a body that trickles is answered 408 and its socket closed; one that is slow but moves is taken',
  { timeout: 60_000 },
  async (t) => {
    const { port } = await bodies(t, { windowMs: 300, minBytes: 100 })
    for (const [length, piece] of [
      [1e6, ' '],
      ['chunked', '1\r\n \r\n']
    ] as const) {
      const { answer, bytes } = await pour(port, head('/json', length), piece, 20)
      t.match(
        answer,
        /^HTTP\/1\.1 408 Request Timeout\r\ncontent-type: application\/problem\+json.*"code":"request_timeout"/is,
        'bug: one byte every two minutes held a socket forever'
      )
      t.ok(bytes < 10_000)
    }
    const steady = `{"text":"${'x'.repeat(2000)}"}`
    const sent = request({
      port,
      path: '/json',
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'content-length': steady.length }
    })
    const answer = once(sent, 'response') as Promise<[IncomingMessage]>
    for (let at = 0; at < steady.length; at += 50) {
      sent.write(steady.slice(at, at + 50))
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
    }
    t.equal((await answer)[0].statusCode, 200)
  }
)

t.test(
  'a body that this server is slow to read is not cut for that (bug: the second file of a batch was, while the ' +
    'first was synced to a slow disk)',
  async (t) => {
    const { port } = await bodies(t, { windowMs: 200, minBytes: 100 })
    const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(4 * MiB) }))
    t.equal(
      (
        await ask(`http://127.0.0.1:${port}`, '/slow', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body
        })
      ).status,
      200
    )
  }
)

t.test(
  'a body that goes on after its answer is read for a while, and no longer; bug: all of it was',
  { timeout: 60_000 },
  async (t) => {
    const { port } = await bodies(t, { lingerMs: 20_000, lingerBytes: 8 * MiB })
    const flood = await pour(port, head('/refuse', 1e12), Buffer.alloc(MiB), 0)
    t.match(flood.answer, /^HTTP\/1\.1 413 .*refused/s, 'its sender can read the answer')
    const patient = await bodies(t, { lingerMs: 300 })
    t.match((await pour(patient.port, head('/refuse', 1e12), ' ', 20)).answer, /^HTTP\/1\.1 413 /)
    const whole = await ask(`http://127.0.0.1:${port}`, '/refuse', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.alloc(4 * MiB)
    })
    t.equal(whole.status, 413)
  }
)

t.test('what can not be read as a request is answered by a problem document: 400, 408, 431', async (t) => {
  const server = await buildTestApp(t)
  const port = Number(new URL(await server.listen()).port)
  const raw = async (text: string) => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(text))
    let answer = ''
    socket
      .on('error', () => {})
      .on('data', (data) => {
        answer += data.toString()
      })
    await new Promise((resolve) => {
      socket.once('close', resolve)
    })
    return answer
  }
  const problem = (answer: string) => ({
    status: Number(answer.slice(9, 12)),
    type: /^content-type: (.*)\r$/im.exec(answer)?.[1],
    document: JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as object
  })
  const expected = (status: number, code: string) => ({
    status,
    type: 'application/problem+json',
    document: { type: `/problems/${code}`, status, code, title: String, detail: String, request_id: /^[\da-f-]{36}$/ }
  })
  for (const text of [
    'nonsense\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n',
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
    'GET /\0 HTTP/1.1\r\n\r\n'
  ]) {
    t.match(problem(await raw(text)), expected(400, 'bad_request'), text)
  }
  t.match(
    problem(await raw(`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)),
    expected(431, 'headers_too_large')
  )
  const late = (once(server.app.server, 'connection') as Promise<[NodeJS.Socket]>).then(([socket]) =>
    server.app.server.emit('clientError', Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
  )
  t.match(
    problem(await raw('GET / HTTP/1.1\r\nhost: a\r\n')),
    expected(408, 'request_timeout'),
    'as Node says it of headers that are too slow'
  )
  await late
})
