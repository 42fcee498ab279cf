import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { mintLink, newLinkedMedia, signUpEverybody, upload } from '../../support/client.js'
import { ask, noiseWav, type Ask } from '../../support/raw-http.js'

const MiB = 1024 * 1024
const server = await buildTestApp(t)
const origin = await server.listen()
const { instructor } = await signUpEverybody(server)
const content = noiseWav(6 * MiB + 3 * 4)
const big = await publish(content)
const query = (link: string) => link.split('?')[1]!

async function publish (file?: Buffer): Promise<string> {
  const reply = await upload(server, instructor, file ?? 'tiny.mp4', { type: file === undefined ? 'video' : 'audio' })
  return reply.json<{ id: string }>().id
}

/** What is counted of a media, in the roll-up and in the log. */
async function views (id: string): Promise<[total: number, logged: number]> {
  const [totals] = await server.query<{ n: unknown }>(
    `select total_views as n from view_totals where media_id = '${id}'`
  )
  const [log] = await server.query<{ n: unknown }>(`select count(*) as n from views where media_id = '${id}'`)
  return [Number(totals!.n), Number(log!.n)]
}

const descriptors = async () => (await readdir('/proc/self/fd')).length

/** Waits until no more descriptors are open than there were. */
async function settled (before: number): Promise<number> {
  let now = await descriptors()
  for (let waited = 0; now > before && waited < 5000; waited += 50) {
    await sleep(50)
    now = await descriptors()
  }
  return now
}

t.test('1,000 random ranges are slices of the file', async (t) => {
  const link = await mintLink(server, big, instructor)
  const size = content.length
  let wrong = 0
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let index = 0; index < 125; index++) {
        const start = randomInt(size)
        const end = index % 25 === 0 ? randomInt(start, size) : Math.min(size - 1, start + randomInt(100_000))
        const [range, expected] = [
          [`bytes=${start}-${end}`, content.subarray(start, end + 1)],
          [`bytes=${start}-`, content.subarray(start)],
          [`bytes=-${size - start}`, content.subarray(start)]
        ][index % 50 === 0 ? 1 : index % 50 === 1 ? 2 : 0] as [string, Buffer]
        const { status, headers, body } = await ask(origin, link, { headers: { range } })
        const right =
          status === 206 &&
          body.equals(expected) &&
          headers['content-range'] === `bytes ${start}-${start + expected.length - 1}/${size}` &&
          headers['content-length'] === String(expected.length)
        if (!right) wrong++
      }
    })
  )
  t.equal(wrong, 0)
})

t.test('100 aborted downloads leave no descriptor', async (t) => {
  const link = await mintLink(server, big, instructor)
  const { port } = new URL(origin)
  await ask(origin, link)
  await sleep(100)
  const before = await descriptors()
  for (let index = 0; index < 100; index++) {
    const going = request({
      host: '127.0.0.1',
      port,
      path: link,
      agent: false,
      headers: index % 2 === 0 ? {} : { range: `bytes=${index * 1000}-` }
    })
    going.on('error', () => {}).end()
    if (index % 10 === 0) await sleep(1)
    else {
      const [response] = (await once(going, 'response')) as [IncomingMessage]
      response.on('error', () => {})
      if (index % 3 === 0) await once(response, 'data')
    }
    going.destroy()
  }
  t.ok((await settled(before)) <= before)
  t.ok((await ask(origin, link)).body.equals(content), 'and the next one gets all of it')
})

t.test('bug: requests in a pipeline whose client left before their turn kept files open forever', async (t) => {
  const link = await mintLink(server, big, instructor)
  await sleep(100)
  const before = await descriptors()
  for (let index = 0; index < 20; index++) {
    const socket = connect((server.app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    socket.write(`GET ${link} HTTP/1.1\r\nhost: a\r\n\r\n`.repeat(5))
    await once(socket, 'data')
    await sleep(10)
    socket.destroy()
  }
  t.ok((await settled(before)) <= before)
})

t.test('requests in a pipeline are answered in their order, whole', async (t) => {
  const link = await mintLink(server, big, instructor)
  const socket = connect((server.app.server.address() as AddressInfo).port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ranges = [
    [0, 299_999],
    [5, 5],
    [1000, 700_000],
    [0, content.length - 1]
  ] as const
  ranges.forEach(([start, end], index) =>
    socket.write(
      `GET ${link} HTTP/1.1\r\nhost: a\r\nrange: ` +
        `bytes=${start}-${end}\r\n${index === 3 ? 'connection: close\r\n' : ''}\r\n`
    )
  )
  await once(socket, 'end')
  let rest = Buffer.concat(chunks)
  for (const [start, end] of ranges) {
    const body = rest.indexOf('\r\n\r\n') + 4
    t.match(rest.subarray(0, body).toString(), `content-range: bytes ${start}-${end}/`)
    t.ok(rest.subarray(body, body + end - start + 1).equals(content.subarray(start, end + 1)), `${start}-${end}`)
    rest = rest.subarray(body + end - start + 1)
  }
  t.equal(rest.length, 0)
  socket.destroy()
})

t.test('a stream counts one view for its link and address, from its start', async (t) => {
  const id = await publish()
  const link = await mintLink(server, id, instructor)
  const steps: Array<[what: string, options: Ask, counted: number]> = [
    ['HEAD', { method: 'HEAD' }, 0],
    ['a continuation', { headers: { range: 'bytes=1-' } }, 0],
    ['a suffix', { headers: { range: 'bytes=-5' } }, 0],
    ['304', { headers: { 'if-none-match': '*' } }, 0],
    ['416', { headers: { range: 'bytes=9999999-' } }, 0],
    ['a range from the start', { headers: { range: 'bytes=0-1' } }, 1],
    ['the start again', { headers: { range: 'bytes=0-' } }, 1],
    ['all of it', {}, 1],
    ['another address', { from: '127.0.0.2' }, 2],
    ['the same one', { from: '127.0.0.2' }, 2],
    ['a continuation from a third', { headers: { range: 'bytes=100-' }, from: '127.0.0.3' }, 2],
    ['a suffix that is all of it, from a third', { headers: { range: 'bytes=-9999999' }, from: '127.0.0.3' }, 3],
    ['a stale range, answered whole', { headers: { range: 'bytes=100-', 'if-range': '"x"' }, from: '127.0.0.4' }, 4]
  ]
  for (const [what, options, counted] of steps) {
    await ask(origin, link, options)
    t.same(await views(id), [counted, counted], what)
  }
  t.equal((await ask(origin, `${link}0`)).status, 403)
  await ask(origin, await mintLink(server, id, instructor))
  t.same(await views(id), [5, 5], 'another link')
})

t.test("a POST of a view with the link's query is the view of its stream", async (t) => {
  const id = await publish()
  const post = async (link: string, from?: string) =>
    ask(origin, `/media/${id}/view?${query(link)}`, { method: 'POST', from })
  const first = await mintLink(server, id, instructor)
  t.equal((await post(first)).status, 200)
  await ask(origin, first)
  t.equal((await post(first)).status, 200, 'repeated, and still fine')
  t.same(await views(id), [1, 1], 'posted first')
  const second = await mintLink(server, id, instructor)
  await ask(origin, second)
  await post(second)
  t.same(await views(id), [2, 2], 'streamed first')
  await post(second, '127.0.0.2')
  t.same(await views(id), [3, 3], 'another address')
  t.equal((await post(`${second}0`)).status, 403)
  t.equal((await ask(origin, `/media/nothing/view?${query(second)}`, { method: 'POST' })).status, 403)
  t.equal((await ask(origin, '/media/nothing/view', { method: 'POST', headers: instructor.headers })).status, 404)
  t.same(await views(id), [3, 3])
})

t.test('with a token, requests from byte 0 are one view in 30 minutes', async (t) => {
  const id = await publish()
  const target = `/media/stream/${id}`
  for (const range of [undefined, 'bytes=0-', 'bytes=0-0', 'bytes=5-', undefined]) {
    await ask(origin, target, { headers: { ...instructor.headers, ...(range !== undefined && { range }) } })
  }
  await ask(origin, target, { method: 'HEAD', headers: instructor.headers })
  t.same(await views(id), [1, 1])
})

t.test('a media made by JSON counts by the same rule', async (t) => {
  const id = await newLinkedMedia(server, instructor, { visibility: 'private' })
  const link = await mintLink(server, id, instructor)
  await ask(origin, link, { method: 'HEAD' })
  await ask(origin, link, { headers: { range: 'bytes=5-' } })
  t.same(await views(id), [0, 0])
  await ask(origin, link)
  await ask(origin, link)
  t.same(await views(id), [1, 1])
})

t.test('50 first requests at once make one row of one link', async (t) => {
  const id = await publish()
  const link = await mintLink(server, id, instructor)
  const target = `/media/${id}/view?${query(link)}`
  await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      index % 5 === 0 ? ask(origin, target, { method: 'POST' }) : ask(origin, link)
    )
  )
  t.same(await views(id), [1, 1])
})
