import type { InjectOptions } from 'light-my-request'
import { createHash, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { lectureText, newCourse } from '../../support/courses.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { signUp, type Person } from '../../support/client.js'
import { sized } from '../../support/measures.js'
import { checksumOf, create, created, head, metadataOf, offsetIn, send, tus } from '../../support/tus.js'

const HOUR = 3_600_000
const PART_TYPE = 'application/offset+octet-stream'
const video = await fixture('tiny.mp4')
const sha256 = createHash('sha256').update(video).digest('hex')
const half = Math.floor(video.length / 2)

async function setUp (t: Test, env: Record<string, string> = {}): Promise<{ server: TestApp; owner: Person }> {
  const server = await buildTestApp(t, env)
  await signUp(server)
  return { server, owner: await signUp(server) }
}

t.test('a file arrives in two parts and becomes a media, byte for byte', async (t) => {
  const { server, owner } = await setUp(t)
  const url = await created(server, owner, video.length, { title: 'A title', type: 'video', sha256 })
  t.match(url, /^\/media\/uploads\/[\da-f-]{36}$/)
  t.equal(offsetIn(await head(server, owner, url)), 0)

  const first = await send(server, owner, url, { offset: 0, bytes: video.subarray(0, half) })
  t.equal(first.statusCode, 204, first.body)
  t.equal(first.headers['tus-resumable'], '1.0.0')
  t.notOk('media-location' in first.headers)
  const between = await head(server, owner, url)
  t.match(between.headers, { 'upload-offset': String(half), 'upload-length': String(video.length) })
  t.equal(between.headers['cache-control'], 'no-store')
  t.notOk('content-type' in between.headers, 'there is no body (bug: it was the text null)')
  t.equal(between.headers['upload-metadata'], metadataOf({ title: 'A title', type: 'video', sha256 }))
  t.ok(Date.parse(String(between.headers['upload-expires'])) > server.clock.now + 23 * HOUR)

  const last = await send(server, owner, url, { offset: half, bytes: video.subarray(half) })
  t.equal(last.statusCode, 204, last.body)
  const mediaUrl = String(last.headers['media-location'])
  const media = await server.inject({ url: mediaUrl, headers: owner.headers })
  t.match(media.json(), { title: 'A title', type: 'video', sha256, size_bytes: video.length, owner_id: owner.id })
  const stream = await server.inject({
    url: `/media/stream/${mediaUrl.slice('/media/'.length)}`,
    headers: owner.headers
  })
  t.ok(stream.rawPayload.equals(video))
  t.equal((await server.storedFiles()).length, 1, 'the draft is gone')
  const afterwards = await head(server, owner, url)
  t.match(afterwards.headers, { 'upload-offset': String(video.length), 'media-location': mediaUrl })
})

t.test('the first part may come with the creation, and may be the whole file', async (t) => {
  const { server, owner } = await setUp(t)
  const post = (payload: Buffer) =>
    tus(server, owner, {
      method: 'POST',
      url: '/media/uploads',
      headers: {
        'upload-length': String(video.length),
        'upload-metadata': metadataOf({ title: 'A' }),
        'content-type': PART_TYPE
      },
      payload
    })
  const begun = await post(video.subarray(0, half))
  t.equal(begun.statusCode, 201, begun.body)
  t.equal(begun.body, '')
  t.equal(offsetIn(begun), half)
  const whole = await post(video)
  t.equal(whole.statusCode, 201, whole.body)
  t.match(whole.headers['media-location'], /^\/media\//)
  const bad = await post(Buffer.alloc(video.length))
  expectProblem(t, bad, 415, 'unsupported_media_format')
  t.equal((await server.query('select id from uploads')).length, 2, 'an upload that its client does not know is gone')
})

t.test('metadata: a file name is a title, Uppy sends a content type, and other keys are ignored', async (t) => {
  const { server, owner } = await setUp(t)
  const names = { name: 'talk.mp4', type: 'video/mp4', filetype: 'video/mp4', relativePath: 'null' }
  const fields = { ...names, visibility: 'public' }
  const url = await created(server, owner, video.length, fields)
  const done = await send(server, owner, url, { offset: 0, bytes: video })
  const media = await server.inject({ url: String(done.headers['media-location']), headers: owner.headers })
  t.match(media.json(), { title: 'talk.mp4', type: 'video', visibility: 'public' })
  for (const [bad, path] of [
    [{ title: '' }, 'title'],
    [{ title: 'A', type: 'image' }, 'type'],
    [{ title: 'A', visibility: 'all' }, 'visibility'],
    [{ title: 'A', sha256: 'x' }, 'sha256'],
    [{}, 'title'],
    [{ course_id: randomUUID(), title: 'A' }, 'category']
  ] as const) {
    expectProblem(t, await create(server, owner, 10, bad as Record<string, string>), 422, 'validation_failed', [path])
  }
})

t.test('a lecture arrives by tus', async (t) => {
  const { server, owner } = await setUp(t)
  const course = await newCourse(server, owner)
  const url = await created(server, owner, video.length, { ...lectureText, course_id: course.id, filename: 'a.mp4' })
  const done = await send(server, owner, url, { offset: 0, bytes: video })
  t.equal(done.statusCode, 204, done.body)
  const lectures = await server.inject({ url: `/course/${course.id}/lectures`, headers: owner.headers })
  const [lecture] = lectures.json<Array<{ media_id: string }>>()
  t.match(lecture, { ...lectureText, course_id: course.id, position: 1 })
  t.equal(done.headers['media-location'], `/media/${lecture!.media_id}`)
  const other = await signUp(server)
  const foreign = await create(server, other, 10, { ...lectureText, course_id: course.id })
  expectProblem(t, foreign, 403, 'not_owner')
  const key = await server.inject({
    method: 'POST',
    url: '/api-keys',
    headers: owner.headers,
    payload: { name: 'A program', scopes: ['uploads'] }
  })
  const program = { headers: { authorization: `Bearer ${key.json<{ key: string }>().key}` } }
  t.equal((await create(server, program, 10)).statusCode, 201, 'a key for uploads makes a media')
  const byKey = await create(server, program, 10, { ...lectureText, course_id: course.id })
  expectProblem(t, byKey, 403, 'scope_required')
  const unknown = await create(server, owner, 10, { ...lectureText, course_id: randomUUID() })
  expectProblem(t, unknown, 404, 'not_found')
})

t.test('the protocol: what a server refuses', async (t) => {
  const { server, owner } = await setUp(t, { MAX_UPLOAD_BYTES: '100000', QUOTA_BYTES: '150000' })
  const other = await signUp(server)
  const url = await created(server, owner, 100)
  const metadata = metadataOf({ title: 'A' })
  const post = (headers: Record<string, string | undefined>): InjectOptions => ({
    method: 'POST',
    url: '/media/uploads',
    headers: { 'upload-metadata': metadata, ...headers }
  })
  const patch = (headers: Record<string, string | undefined>, payload = Buffer.alloc(5)): InjectOptions => ({
    method: 'PATCH',
    url,
    headers: { 'upload-offset': '0', 'content-type': PART_TYPE, ...headers },
    payload
  })
  const cases: Array<[name: string, InjectOptions, status: number, code: string]> = [
    ['no version', post({ 'upload-length': '9', 'tus-resumable': undefined }), 412, 'tus_version_unsupported'],
    ['another version', post({ 'upload-length': '9', 'tus-resumable': '0.2.2' }), 412, 'tus_version_unsupported'],
    ['no length', post({}), 400, 'bad_request'],
    ['a deferred length', post({ 'upload-defer-length': '1' }), 400, 'bad_request'],
    ['a negative length', post({ 'upload-length': '-1' }), 400, 'bad_request'],
    ['a length in words', post({ 'upload-length': '1e3' }), 400, 'bad_request'],
    ['an unsafe length', post({ 'upload-length': '9007199254740993' }), 400, 'bad_request'],
    ['an empty file', post({ 'upload-length': '0' }), 415, 'unsupported_media_format'],
    ['a file over the limit', post({ 'upload-length': '100001' }), 413, 'upload_too_large'],
    ['a file over the quota', post({ 'upload-length': '99999' }), 201, ''],
    ['a file over the rest of the quota', post({ 'upload-length': '99999' }), 413, 'quota_exceeded'],
    ['malformed metadata', post({ 'upload-length': '9', 'upload-metadata': 'title' }), 422, 'validation_failed'],
    ['metadata not in base64', post({ 'upload-length': '9', 'upload-metadata': 'title a%b' }), 400, 'bad_request'],
    ['a body of another type', { ...post({ 'upload-length': '9', 'content-type': 'text/plain' }), payload: 'abc' }, 415,
      'unsupported_content_type'],
    ['a part of another type', patch({ 'content-type': 'application/octet-stream' }), 415, 'unsupported_content_type'],
    ['an encoded part', patch({ 'content-encoding': 'gzip' }), 415, 'unsupported_content_type'],
    ['no offset', patch({ 'upload-offset': undefined }), 400, 'bad_request'],
    ['a wrong offset', patch({ 'upload-offset': '5' }), 409, 'upload_offset_mismatch'],
    ['a part beyond the end', patch({}, Buffer.alloc(101)), 413, 'payload_too_large'],
    ['an unknown checksum', patch({ 'upload-checksum': 'crc32 AAAA' }), 400, 'bad_request'],
    ['a short checksum', patch({ 'upload-checksum': 'sha1 AAAA' }), 400, 'bad_request'],
    ['a wrong checksum', patch({ 'upload-checksum': checksumOf(Buffer.alloc(6)) }), 460, 'checksum_mismatch'],
    ['another method by a header', patch({ 'x-http-method-override': 'DELETE' }), 400, 'bad_request'],
    ['an unknown upload', { method: 'HEAD', url: `/media/uploads/${randomUUID()}` }, 404, ''],
    ['a malformed id', { method: 'HEAD', url: '/media/uploads/x' }, 404, '']
  ]
  for (const [name, request, status, code] of cases) {
    const headers = Object.fromEntries(
      Object.entries({ 'tus-resumable': '1.0.0', ...owner.headers, ...request.headers }).filter(([, value]) => value)
    ) as Record<string, string>
    const reply = await server.inject({ ...request, headers })
    t.equal(reply.statusCode, status, `${name}: ${reply.body}`)
    if (code !== '') expectProblem(t, reply, status, code)
    t.equal(reply.headers['tus-resumable'], '1.0.0', name)
  }
  t.equal(offsetIn(await head(server, owner, url)), 0, 'nothing of it was stored')
  for (const method of ['HEAD', 'PATCH', 'DELETE'] as const) {
    const headers = { 'upload-offset': '0', 'content-type': PART_TYPE }
    t.equal((await tus(server, other, { method, url, headers })).statusCode, 404, `${method} of another account`)
  }
})

t.test('OPTIONS describes the server; a preflight and other paths behave as before', async (t) => {
  const { server } = await setUp(t, { MAX_UPLOAD_BYTES: '1234' })
  for (const url of ['/media/uploads', `/media/uploads/${randomUUID()}`]) {
    const reply = await server.inject({ method: 'OPTIONS', url })
    t.equal(reply.statusCode, 204)
    t.match(reply.headers, {
      'tus-version': '1.0.0',
      'tus-extension': 'creation,creation-with-upload,expiration,termination,checksum',
      'tus-max-size': '1234',
      'tus-checksum-algorithm': 'sha256,sha1'
    })
    const origin = 'http://localhost:3000'
    const preflight = await server.inject({
      method: 'OPTIONS',
      url,
      headers: { origin, 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'upload-offset' }
    })
    t.equal(preflight.statusCode, 204)
    t.match(preflight.headers, {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': /PATCH/,
      'access-control-allow-headers': 'upload-offset'
    })
    const actual = await server.inject({ method: 'OPTIONS', url, headers: { origin } })
    t.match(actual.headers['access-control-expose-headers'], /upload-offset.*media-location/)
  }
  t.equal((await server.inject({ method: 'OPTIONS', url: '/media' })).statusCode, 405)
})

t.test('a part with flipped bits is refused, and the offset does not move', async (t) => {
  const { server, owner } = await setUp(t)
  const url = await created(server, owner, video.length)
  const times = sized(50, 1000)
  let refused = 0
  for (let flip = 0; flip < times; flip++) {
    const bytes = Buffer.from(video)
    const at = Math.floor((flip * video.length) / times)
    bytes[at]! ^= 1 << (flip % 8)
    const algorithm = flip % 2 === 0 ? 'sha256' : 'sha1'
    const headers = { 'upload-checksum': checksumOf(video, algorithm) }
    const reply = await send(server, owner, url, { offset: 0, bytes, headers })
    if (reply.statusCode === 460) refused++
  }
  t.equal(refused, times)
  t.equal(offsetIn(await head(server, owner, url)), 0)
  const headers = { 'upload-checksum': checksumOf(video, 'sha1') }
  const right = await send(server, owner, url, { offset: 0, bytes: video, headers })
  t.equal(right.statusCode, 204, right.body)
  t.ok('media-location' in right.headers)
})

t.test('a failure of the last part is final, and HEAD tells its code for a day', async (t) => {
  const { server, owner } = await setUp(t)
  const cut = await fixture('text.mp4')
  const cases: Array<[Record<string, string>, Buffer, number, string]> = [
    [{ title: 'A' }, cut, 415, 'unsupported_media_format'],
    [{ title: 'A', type: 'audio' }, video, 422, 'media_type_mismatch'],
    [{ title: 'A', sha256: 'ab'.repeat(32) }, video, 422, 'digest_mismatch']
  ]
  const urls: string[] = []
  for (const [fields, bytes, status, code] of cases) {
    const url = await created(server, owner, bytes.length, fields)
    urls.push(url)
    expectProblem(t, await send(server, owner, url, { offset: 0, bytes }), status, code)
    const gone = await head(server, owner, url)
    t.equal(gone.statusCode, 410)
    t.equal(gone.headers['upload-error'], code)
    const again = await send(server, owner, url, { offset: bytes.length, bytes: Buffer.alloc(0) })
    t.equal(again.statusCode, 410)
    t.match(again.json(), { status: 410, code })
  }
  t.same(await server.storedFiles(), [])
  t.match((await tus(server, owner, { url: '/media/uploads' })).json(), { items: [], total: 0 })
  server.clock.advance(24 * HOUR)
  t.equal((await head(server, owner, urls[0]!)).statusCode, 410)
})

t.test('the list has the open uploads of the account only', async (t) => {
  const { server, owner } = await setUp(t)
  const other = await signUp(server)
  await created(server, other, 10)
  const first = await created(server, owner, 1000, { title: 'First', filename: 'first.mp4' })
  const second = await created(server, owner, 10, { title: 'Second' })
  await send(server, owner, first, { offset: 0, bytes: Buffer.alloc(7) })
  const list = await server.inject({ url: '/media/uploads', headers: owner.headers })
  t.match(list.json(), {
    total: 2,
    items: [
      { url: second, title: 'Second', filename: null, offset_bytes: 0, size_bytes: 10 },
      { url: first, title: 'First', filename: 'first.mp4', offset_bytes: 7, size_bytes: 1000 }
    ]
  })
  t.equal((await tus(server, owner, { method: 'DELETE', url: first })).statusCode, 204)
  t.equal((await head(server, owner, first)).statusCode, 404)
  t.same(await server.storedFiles(), [])
})
