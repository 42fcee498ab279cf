import { createHash, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { mintLink, signUp, signUpEverybody, upload, type Person } from '../../support/client.js'
import { ask, type Ask, type WireReply } from '../../support/raw-http.js'

const server = await buildTestApp(t)
const origin = await server.listen()
const { admin, instructor, student } = await signUpEverybody(server)
const content = await fixture('tiny.mp4')
const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
const size = String(content.length)
const AT_ONCE = 1000
const video = await publish()
const get = (target: string, options?: Ask) => ask(origin, target, options)

async function publish (fields: Record<string, string> = {}, person: Person = instructor): Promise<string> {
  return (await upload(server, person, 'tiny.mp4', fields)).json<{ id: string }>().id
}

function expectCode (t: Test, reply: WireReply, status: number, code: string, what = code): void {
  t.equal(reply.status, status, what)
  t.match(reply.headers['content-type'], /^application\/problem\+json/, what)
  t.equal(JSON.parse(reply.body.toString()).code, code, what)
  t.match(reply.headers['cache-control'], 'no-store', what)
}

/** Whatever is answered of a media carries these. */
function expectMediaHeaders (t: Test, { headers }: WireReply, secondsLeft: number): void {
  t.equal(headers['x-content-type-options'], 'nosniff')
  t.equal(headers['content-security-policy'], "default-src 'none'; media-src 'self'")
  t.equal(headers['cross-origin-resource-policy'], 'cross-origin')
  t.equal(headers['referrer-policy'], 'no-referrer')
  const [, left] = /^private, max-age=(\d+)$/.exec(headers['cache-control'] ?? '') ?? []
  t.ok(
    left !== undefined && Number(left) <= secondsLeft && Number(left) >= secondsLeft - 2,
    `${headers['cache-control']}`
  )
  t.notOk(headers['set-cookie'])
}

const { created_at: createdAt } = (await server.inject({ url: `/media/${video}`, headers: instructor.headers })).json<{
  created_at: string
}>()
const modified = new Date(createdAt).toUTCString()

type Expected = { status: number; length?: string; range?: string; body?: Buffer }
const whole: Expected = { status: 200, length: size, body: content }
const part: Expected = { status: 206, length: '10', range: `bytes 5-14/${size}`, body: content.subarray(5, 15) }
const unmodified: Expected = { status: 304, body: Buffer.alloc(0) }
const cases: Array<[name: string, options: Ask, expected: Expected]> = [
  ['GET', {}, whole],
  ['a range', { headers: { range: 'bytes=5-14' } }, part],
  [
    "Safari's first question",
    { headers: { range: 'bytes=0-1' } },
    { status: 206, length: '2', range: `bytes 0-1/${size}`, body: content.subarray(0, 2) }
  ],
  [
    'a clamped range',
    { headers: { range: `bytes=${content.length - 3}-99999999` } },
    {
      status: 206,
      length: '3',
      range: `bytes ${content.length - 3}-${content.length - 1}/${size}`,
      body: content.subarray(-3)
    }
  ],
  [
    'a suffix',
    { headers: { range: 'bytes=-4' } },
    {
      status: 206,
      length: '4',
      range: `bytes ${content.length - 4}-${content.length - 1}/${size}`,
      body: content.subarray(-4)
    }
  ],
  ['several ranges', { headers: { range: 'bytes=0-1,3-4' } }, whole],
  ['an unknown unit', { headers: { range: 'seconds=1-2' } }, whole],
  ['a malformed range', { headers: { range: 'bytes=9-1' } }, whole],
  ['HEAD', { method: 'HEAD' }, { status: 200, length: size, body: Buffer.alloc(0) }],
  [
    'HEAD with a range',
    { method: 'HEAD', headers: { range: 'bytes=5-14' } },
    { status: 200, length: size, body: Buffer.alloc(0) }
  ],
  ['If-None-Match', { headers: { 'if-none-match': etag } }, unmodified],
  ['If-None-Match, HEAD', { method: 'HEAD', headers: { 'if-none-match': `"x", W/${etag}` } }, unmodified],
  ['If-None-Match with a range', { headers: { 'if-none-match': '*', range: 'bytes=5-14' } }, unmodified],
  ['If-Modified-Since', { headers: { 'if-modified-since': modified } }, unmodified],
  ['If-Modified-Since that is no date', { headers: { 'if-modified-since': 'Version 2050' } }, whole],
  ['If-Range', { headers: { range: 'bytes=5-14', 'if-range': etag } }, part],
  ['If-Range, weak', { headers: { range: 'bytes=5-14', 'if-range': `W/${etag}` } }, whole],
  ['If-Range of another content', { headers: { range: 'bytes=5-14', 'if-range': '"x"' } }, whole],
  ['If-Range by a date too fresh to be strong', { headers: { range: 'bytes=5-14', 'if-range': modified } }, whole]
]

t.test('If-Match and If-Unmodified-Since that do not hold are 412, before 304 and 416', async (t) => {
  const link = await mintLink(server, video, instructor)
  const yesterday = new Date(Date.parse(createdAt) - 86_400_000).toUTCString()
  const failing: Array<Record<string, string>> = [
    { 'if-match': '"x"' },
    { 'if-match': `W/${etag}` },
    { 'if-match': '"x"', 'if-none-match': etag },
    { 'if-match': '"x"', range: `bytes=${content.length}-` },
    { 'if-unmodified-since': yesterday, range: 'bytes=5-14' }
  ]
  for (const headers of failing) {
    const reply = await server.inject({ url: link, headers })
    expectProblem(t, reply, 412, 'precondition_failed')
    t.equal(reply.headers.etag, etag)
    t.equal((await server.inject({ method: 'HEAD', url: link, headers })).statusCode, 412)
  }
  const holding = { 'if-match': `"x", ${etag}`, 'if-unmodified-since': yesterday }
  t.equal((await server.inject({ url: link, headers: holding })).statusCode, 200, 'If-Match takes precedence')
})

t.test('a stream is answered header by header as the contract says', async (t) => {
  const link = await mintLink(server, video, instructor)
  for (const [name, options, { status, length, range, body }] of cases) {
    await t.test(name, async (t) => {
      const reply = await get(link, options)
      t.equal(reply.status, status)
      t.equal(reply.headers.etag, etag)
      t.equal(reply.headers['last-modified'], modified)
      t.equal(reply.headers['accept-ranges'], 'bytes')
      t.equal(reply.headers['content-length'], length)
      t.equal(reply.headers['content-range'], range)
      t.equal(reply.headers['content-type'], status === 304 ? undefined : 'video/mp4')
      t.equal(reply.headers['content-disposition'], 'inline; filename="A title.mp4"')
      t.ok(reply.body.equals(body!), 'the bytes')
      expectMediaHeaders(t, reply, 600)
    })
  }
})

t.test('past the end is 416 with the size', async (t) => {
  const link = await mintLink(server, video, instructor)
  for (const range of [`bytes=${size}-`, 'bytes=999999999-', 'bytes=-0']) {
    const reply = await get(link, { headers: { range } })
    expectCode(t, reply, 416, 'range_not_satisfiable', range)
    t.equal(reply.headers['content-range'], `bytes */${size}`)
    t.equal(reply.headers['accept-ranges'], 'bytes')
    t.equal(Number(reply.headers['content-length']), reply.body.length)
    t.notOk(reply.headers['content-disposition'], 'a problem document is no file of that name')
  }
  t.equal((await get(link, { headers: { range: `bytes=${size}-`, 'if-none-match': etag } })).status, 304)
  t.equal((await get(link, { method: 'HEAD', headers: { range: `bytes=${size}-` } })).status, 200)
})

t.test('a media made by JSON answers 302 to its address', async (t) => {
  for (const [given, location] of [
    ['https://cdn.example.org/a.mp4?b=c', 'https://cdn.example.org/a.mp4?b=c'],
    ['https://cdn.example.org/ü/日 本.mp4', undefined]
  ] as const) {
    const made = await server.inject({
      method: 'POST',
      url: '/media',
      headers: instructor.headers,
      payload: { title: 'Elsewhere', type: 'video', file_url: given }
    })
    if (made.statusCode === 422) continue
    const link = await mintLink(server, made.json<{ id: string }>().id, instructor, '?expires_in=60')
    for (const method of ['GET', 'HEAD']) {
      const reply = await get(link, { method })
      t.equal(reply.status, 302, `${method} ${given}`)
      t.equal(reply.headers.location, location ?? new URL(given).href)
      expectMediaHeaders(t, reply, 60)
    }
    t.equal((await get(link.replace(/.$/, ''))).status, 403)
  }
})

t.test('a title becomes a safe file name', async (t) => {
  const titles: Array<[title: string, disposition: string]> = [
    ['Für "Élise"', 'inline; filename="Fur _Elise_.mp4"; filename*=UTF-8\'\'F%C3%BCr%20_%C3%89lise_.mp4'],
    [
      'a＂; filename=＂x',
      'inline; filename="a_; filename=_x.mp4"; filename*=UTF-8\'\'a%EF%BC%82%3B%20filename%3D%EF%BC%82x.mp4'
    ]
  ]
  for (const [title, disposition] of titles) {
    t.equal(
      (await get(await mintLink(server, await publish({ title }), instructor))).headers['content-disposition'],
      disposition
    )
  }
  t.equal((await upload(server, instructor, 'tiny.mp4', { title: 'a\r\nx: y' })).statusCode, 422)
})

t.test('all addresses of a stream are one, for the same link', async (t) => {
  const link = await mintLink(server, video, instructor)
  t.match(link, new RegExp(`^/media/stream/${video}\\?`))
  const query = link.split('?')[1]!
  for (const path of [
    '/media/stream/ID',
    '/media/ID/stream',
    '/media/stream/ID/',
    '/media/ID/stream/',
    '/media/media/stream/ID',
    '/media/media/ID/stream',
    '/api/v1/media/stream/ID',
    '/api/v1/media/ID/stream',
    '/api/v1/media/media/stream/ID'
  ]) {
    const reply = await get(`${path.replace('ID', video)}?${query}`)
    t.equal(reply.status, 200, path)
    t.ok(reply.body.equals(content))
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    const reply = await get(link, { method })
    expectCode(t, reply, 405, 'method_not_allowed', method)
    t.equal(reply.headers.allow, 'GET, HEAD')
  }
})

t.test("a link is refused for its own reason, in the contract's order", async (t) => {
  const id = await publish()
  const link = await mintLink(server, id, instructor)
  const query = link.split('?')[1]!
  const gone = await publish()
  const linkToGone = await mintLink(server, gone, instructor)
  t.equal((await get(link)).status, 200)

  for (const bad of [
    `${link}&t=1`,
    link.replace(/.$/, ''),
    link.replace('gen=1', 'gen=2'),
    `${link}&`,
    `/media/stream/${randomUUID()}?${query}`,
    `/media/stream/nothing?${query}`,
    `/media/stream/${video}?${query}`,
    `/media/stream/${id}?sig=`,
    link.replace('?', '?&')
  ]) {
    expectCode(t, await get(bad), 403, 'stream_link_invalid', bad)
    expectCode(
      t,
      await get(bad, { headers: instructor.headers }),
      403,
      'stream_link_invalid',
      `a good token does not help: ${bad}`
    )
  }
  t.equal(
    (await get(link, { headers: { authorization: 'Bearer rubbish' } })).status,
    200,
    'a good link needs no good token'
  )

  await server.inject({ method: 'DELETE', url: `/media/${gone}`, headers: instructor.headers })
  expectCode(t, await get(linkToGone), 404, 'not_found', 'a good link to what is gone')
  expectCode(t, await get(linkToGone.replace('gen=1', 'gen=2')), 403, 'stream_link_invalid', 'a bad one')

  t.equal(
    (await server.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: instructor.headers })).statusCode,
    204
  )
  expectCode(t, await get(link), 403, 'stream_link_revoked', 'revoked by generation')
  t.equal((await get(await mintLink(server, id, instructor))).status, 200, 'links made after it live')
  server.clock.advance(600_000)
  expectCode(t, await get(link), 403, 'stream_link_expired', 'expired before revoked')
  expectCode(t, await get(linkToGone), 403, 'stream_link_expired', 'expired before gone')
  expectCode(t, await get(link.replace('gen=1', 'gen=2')), 403, 'stream_link_invalid', 'invalid before expired')
})

t.test('a link ends when the one it was made for may no longer watch', async (t) => {
  const leaving = await signUp(server)
  const disabled = await mintLink(server, await publish({}, leaving), leaving)
  const demoted = await signUp(server)
  await server.query(`update accounts set role = 'admin' where id = '${demoted.id}'`)
  server.clock.advance(AT_ONCE)
  const byAdmin = await mintLink(server, video, demoted)
  const shown = await publish({ visibility: 'public' })
  const anonymous = await mintLink(server, shown)
  const asStudent = await mintLink(server, shown, student)
  const asOwner = await mintLink(server, shown, instructor)
  t.match(anonymous, /&sub=anon&/)
  for (const link of [disabled, byAdmin, anonymous, asStudent, asOwner]) t.equal((await get(link)).status, 200)

  await server.query(`update accounts set disabled = 1 where id = '${leaving.id}'`)
  await server.query(`update accounts set role = 'student' where id = '${demoted.id}'`)
  await server.inject({
    method: 'PATCH',
    url: `/media/${shown}`,
    headers: instructor.headers,
    payload: { visibility: 'private' }
  })
  server.clock.advance(AT_ONCE)
  for (const link of [disabled, byAdmin, anonymous, asStudent]) {
    expectCode(t, await get(link), 403, 'stream_link_revoked')
  }
  t.equal((await get(asOwner)).status, 200)
})

t.test('without a link only a token of someone who may watch opens a stream', async (t) => {
  const shown = await publish({ visibility: 'public' })
  const outsider = await signUp(server)
  const cases: Array<[who: string, id: string, headers: Record<string, string>, status: number, code?: string]> = [
    ['nobody', video, {}, 401, 'not_authenticated'],
    ['nobody, public', shown, {}, 401, 'not_authenticated'],
    ['nobody, unknown', randomUUID(), {}, 401, 'not_authenticated'],
    ['a bad token', video, { authorization: 'Bearer rubbish' }, 401, 'invalid_token'],
    ['the owner', video, instructor.headers, 200],
    ['an admin', video, admin.headers, 200],
    ['a student', video, student.headers, 404, 'not_found'],
    ['another instructor', video, outsider.headers, 404, 'not_found'],
    ['a student, public', shown, student.headers, 200],
    ['unknown', randomUUID(), admin.headers, 404, 'not_found'],
    ['no id', 'nothing', admin.headers, 404, 'not_found'],
    ['a NUL', '%00', admin.headers, 404, 'not_found']
  ]
  for (const [who, id, headers, status, code] of cases) {
    const reply = await get(`/media/stream/${id}?t=1`, { headers })
    if (code === undefined) {
      t.equal(reply.status, status, who)
      expectMediaHeaders(t, reply, 0)
    } else expectCode(t, reply, status, code, who)
    if (status === 401) t.match(reply.headers['www-authenticate'], /^Bearer/, who)
  }
})

t.test('a file that is missing is 404 without a word of its bytes', async (t) => {
  const id = await publish()
  await server.query(`update media set blob_name = '${randomUUID()}' where id = '${id}'`)
  server.clock.advance(AT_ONCE)
  const reply = await get(await mintLink(server, id, instructor), { headers: { range: 'bytes=1-2' } })
  expectCode(t, reply, 404, 'not_found')
  for (const name of ['content-range', 'etag', 'last-modified', 'content-disposition', 'accept-ranges']) {
    t.notOk(reply.headers[name], name)
  }
})
