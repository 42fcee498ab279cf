import type { InjectOptions, Response } from 'light-my-request'
import t from 'tap'
import { createProber, type Prober } from '../../../src/media/probe/probe.js'
import { lectureText, newCourse, type Page } from '../../support/courses.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { call, done, signUpEverybody, upload, type Person } from '../../support/client.js'
import { fixture } from '../../support/fixtures.js'

const HOUR = 3_600_000

interface Grant {
  id: string
  upload_url: string
  status: string
  media_id: string | null
  expires_at: string
}

const song = await fixture('tiny.ogg')
const prober = createProber()
/** Runs before each file is described, as between the last byte and the row. */
let beforeProbe: () => Promise<unknown> = async () => {}
const watched: Prober = {
  ...prober,
  async probe (path, accountId) {
    await beforeProbe()
    return await prober.probe(path, accountId)
  }
}
const server = await buildTestApp(t, { QUOTA_BYTES: String(100 * song.length) }, { prober: watched })
const { admin, instructor, student } = await signUpEverybody(server)

const create = (person: Person, body: object = {}, on = server) =>
  call(on, 'POST', '/upload-grants', person, { max_bytes: 2 * song.length, ...body })
async function grant (person: Person = instructor, body: object = {}, on = server): Promise<Grant> {
  const reply = await create(person, body, on)
  if (reply.statusCode !== 201) throw new Error(reply.body)
  return reply.json<Grant>()
}
const put = (url: string, more: Partial<InjectOptions> = {}, on: TestApp = server): Promise<Response> =>
  on.inject({ method: 'PUT', url: new URL(url, 'http://localhost').pathname, payload: song, ...more })
const statusOf = async ({ id }: Grant) =>
  (await done<Grant>(server, 'GET', `/upload-grants/${id}`, instructor)).status
const revoke = ({ id }: Grant) => call(server, 'DELETE', `/upload-grants/${id}`, instructor)
const mediaCount = async (on = server) => (await on.query('select id from media')).length

t.test('a file comes in without an account, and becomes one media of the maker', async (t) => {
  const made = await create(instructor, { title: 'From a guest', visibility: 'public', type: 'audio' })
  t.equal(made.headers['cache-control'], 'no-store')
  const one = made.json<Grant>()
  t.match(one, { status: 'waiting', media_id: null })
  t.equal(await statusOf(one), 'waiting')
  const reply = await put(one.upload_url)
  t.equal(reply.statusCode, 201, reply.body)
  t.same(Object.keys(reply.json()).sort(), ['media_id', 'sha256', 'size_bytes'], 'the guest learns nothing else')
  const { media_id: mediaId } = reply.json<{ media_id: string }>()
  t.match(await done(server, 'GET', `/media/${mediaId}`, instructor), {
    title: 'From a guest',
    visibility: 'public',
    owner_id: instructor.id,
    size_bytes: song.length
  })
  const shown = await call(server, 'GET', `/upload-grants/${one.id}`, instructor)
  t.match(shown.json(), { status: 'done', media_id: mediaId })
  t.notMatch(shown.body, one.upload_url.split('.').at(-1)!, 'the URL is shown once')

  const before = await mediaCount()
  const again = await put(one.upload_url)
  expectProblem(t, again, 409, 'upload_grant_used')
  t.equal(again.json<{ media_id: string }>().media_id, mediaId)
  t.equal(await mediaCount(), before)
  t.equal((await revoke(one)).statusCode, 204)
  t.equal(await statusOf(one), 'done', 'a media that was made stays')
})

t.test('of 100 altered grants, none is accepted', async (t) => {
  const before = await mediaCount()
  const [one, other] = [await grant(), await grant()]
  const token = new URL(one.upload_url).pathname.split('/').at(-1)!
  const [id, exp, kid, sig] = token.split('.') as [string, string, string, string]
  const altered = Array.from({ length: 94 }, (_, index) => {
    const at = Math.floor((index * token.length) / 94)
    return token.slice(0, at) + (token[at] === 'b' ? 'c' : 'b') + token.slice(at + 1)
  })
  altered.push([other.id, exp, kid, sig].join('.'), [id, Number(exp) + 3600, kid, sig].join('.'))
  altered.push([id, exp, kid, sig.slice(1)].join('.'), `${token}.`, [id, exp, sig].join('.'), token.toUpperCase())
  t.equal(altered.length, 100)
  for (const wrong of altered) {
    expectProblem(t, await put(`/granted-uploads/${wrong}`), 403, 'upload_grant_invalid')
  }
  t.equal(await mediaCount(), before)
  for (const each of [one, other]) await revoke(each)
})

t.test('an expired or revoked grant, and one of a disabled account, is dead at once', async (t) => {
  const revoked = await grant()
  t.equal((await revoke(revoked)).statusCode, 204)
  expectProblem(t, await put(revoked.upload_url), 403, 'upload_grant_revoked')
  t.equal(await statusOf(revoked), 'revoked')

  const guest = await grant(admin)
  await server.query(`update accounts set disabled = 1 where id = '${admin.id}'`)
  expectProblem(t, await put(guest.upload_url), 403, 'upload_grant_revoked')
  await server.query(`update accounts set disabled = 0, role = 'student' where id = '${admin.id}'`)
  expectProblem(t, await put(guest.upload_url), 403, 'upload_grant_revoked')
  await server.query(`update accounts set role = 'admin' where id = '${admin.id}'`)
  t.equal((await put(guest.upload_url)).statusCode, 201)

  const short = await grant(instructor, { expires_in: 60 })
  server.clock.advance(61_000)
  expectProblem(t, await put(short.upload_url), 403, 'upload_grant_expired')
  t.equal(await statusOf(short), 'expired')
})

t.test('a grant that is revoked or whose account is disabled during the upload makes no media', async (t) => {
  const before = [await mediaCount(), (await server.storedFiles()).length]
  t.teardown(() => {
    beforeProbe = async () => {}
  })
  const one = await grant()
  beforeProbe = async () => {
    t.equal(await statusOf(one), 'receiving')
    expectProblem(t, await put(one.upload_url), 409, 'upload_grant_in_use')
    await revoke(one)
  }
  expectProblem(t, await put(one.upload_url), 403, 'upload_grant_revoked')
  const other = await grant()
  beforeProbe = () => server.query(`update accounts set disabled = 1 where id = '${instructor.id}'`)
  expectProblem(t, await put(other.upload_url), 403, 'upload_grant_revoked')
  await server.query(`update accounts set disabled = 0 where id = '${instructor.id}'`)
  t.same([await mediaCount(), (await server.storedFiles()).length], before)
  await revoke(other)
})

t.test('a refused file leaves the grant unused; a larger one is refused before its first byte', async (t) => {
  const one = await grant(instructor, { max_bytes: song.length })
  const tooLarge = await put(one.upload_url, { payload: Buffer.concat([song, Buffer.alloc(1)]) })
  expectProblem(t, tooLarge, 413, 'upload_too_large')
  t.equal(tooLarge.json<{ max_bytes: number }>().max_bytes, song.length)
  t.equal((await put(one.upload_url, { payload: 'this is no media' })).statusCode, 415)
  const wrong = `sha-256=:${Buffer.alloc(32).toString('base64')}:`
  const damaged = await put(one.upload_url, { headers: { 'repr-digest': wrong } })
  expectProblem(t, damaged, 422, 'digest_mismatch')
  t.equal(await statusOf(one), 'waiting')
  t.equal((await put(one.upload_url)).statusCode, 201)
})

t.test('twenty parallel uploads by one grant make one media', async (t) => {
  const before = await mediaCount()
  const one = await grant()
  const replies = await Promise.all(Array.from({ length: 20 }, () => put(one.upload_url)))
  const statuses = replies.map(({ statusCode }) => statusCode)
  t.equal(statuses.filter((status) => status === 201).length, 1)
  t.equal(statuses.filter((status) => status === 409).length, 19, statuses.join())
  t.equal(await mediaCount(), before + 1)
})

t.test('the size of a grant is reserved in the quota, until it ends', async (t) => {
  const size = song.length
  const small = await buildTestApp(t, { QUOTA_BYTES: String(10 * size) })
  const { instructor: owner } = await signUpEverybody(small)
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => create(owner, { max_bytes: size, expires_in: 600 }, small))
  )
  const passed = replies.filter(({ statusCode }) => statusCode === 201)
  t.equal(passed.length, 10)
  t.equal(replies.filter(({ statusCode }) => statusCode === 413).length, 10)
  expectProblem(t, await upload(small, owner, 'tiny.ogg', { type: 'audio' }), 413, 'quota_exceeded')

  const [first, second] = passed.map((reply) => reply.json<Grant>())
  await call(small, 'DELETE', `/upload-grants/${first!.id}`, owner)
  t.equal((await upload(small, owner, 'tiny.ogg', { type: 'audio' })).statusCode, 201, 'a revoked grant releases')
  t.equal((await put(second!.upload_url, {}, small)).statusCode, 201, 'a full quota has room for its grants')
  expectProblem(t, await create(owner, { max_bytes: 1 }, small), 413, 'quota_exceeded')
  small.clock.advance(601_000)
  t.equal((await create(owner, { max_bytes: 8 * size }, small)).statusCode, 201, 'expired grants release')
})

t.test('pages of the origin of a grant may upload, and no others', async (t) => {
  const before = await mediaCount()
  const origin = 'https://app.example.org'
  const one = await grant(instructor, { origin })
  const ask = (from: string): Promise<Response> =>
    put(one.upload_url, {
      method: 'OPTIONS',
      payload: undefined,
      headers: {
        origin: from,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'content-type'
      }
    })
  const preflight = await ask(origin)
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers, { 'access-control-allow-origin': origin, 'access-control-allow-methods': 'PUT' })
  t.match(preflight.headers.vary, /Origin/)
  for (const foreign of ['https://evil.example', 'http://app.example.org', 'http://localhost:3000', 'null']) {
    const refused = await ask(foreign)
    expectProblem(t, refused, 403, 'upload_grant_origin')
    t.equal(refused.headers['access-control-allow-origin'], undefined)
    expectProblem(t, await put(one.upload_url, { headers: { origin: foreign } }), 403, 'upload_grant_origin')
  }
  t.equal(await mediaCount(), before)
  const made = await put(one.upload_url, { headers: { origin } })
  t.equal(made.statusCode, 201)
  t.equal(made.headers['access-control-allow-origin'], origin)

  const open = await grant()
  const usual = await put(open.upload_url, { headers: { origin: 'http://localhost:3000' } })
  t.equal(usual.headers['access-control-allow-origin'], 'http://localhost:3000', 'without one, the policy of the API')
})

t.test('a file becomes a lecture of the course', async (t) => {
  const course = await newCourse(server, instructor)
  const one = await grant(instructor, { ...lectureText, course_id: course.id })
  const { media_id: mediaId } = (await put(one.upload_url)).json<{ media_id: string }>()
  const lectures = await done<unknown[]>(server, 'GET', `/course/${course.id}/lectures`, instructor)
  t.match(lectures, [{ title: lectureText.title, category: lectureText.category, media_id: mediaId }])
  t.equal(await statusOf(one), 'done')

  const gone = await grant(instructor, { ...lectureText, course_id: course.id })
  await call(server, 'DELETE', `/course/${course.id}`, instructor)
  expectProblem(t, await put(gone.upload_url), 404, 'not_found')
  await revoke(gone)
})

t.test('a bad grant is refused by field', async (t) => {
  const course = await newCourse(server, admin)
  const cases: Array<[body: object, fields: string[]]> = [
    [{ max_bytes: 0 }, ['max_bytes']],
    [{ expires_in: 59 }, ['expires_in']],
    [{ expires_in: 604_801 }, ['expires_in']],
    [{ origin: 'https://a.example/path' }, ['origin']],
    [{ origin: '*' }, ['origin']],
    [{ title: ' ' }, ['title']],
    [{ type: 'text' }, ['type']],
    [{ category: 'A' }, ['category']],
    [{ course_id: course.id, title: 'A' }, ['description', 'category', 'subcategory']],
    [{ ...lectureText, course_id: course.id, visibility: 'public' }, ['visibility']],
    [{ owner_id: admin.id }, ['owner_id']]
  ]
  for (const [body, fields] of cases) {
    expectProblem(t, await create(instructor, body), 422, 'validation_failed', fields)
  }
  expectProblem(t, await create(instructor, { ...lectureText, course_id: course.id }), 403, 'not_owner')
  expectProblem(t, await create(instructor, { max_bytes: 3_000_000_000 }), 413, 'upload_too_large')
  expectProblem(t, await create(student), 403, 'role_required')
})

t.test('the list has the grants of the caller, newest first', async (t) => {
  const one = await grant(admin, { title: 'Last' })
  const page = await done<Page<Grant>>(server, 'GET', '/upload-grants?size=1', admin)
  t.match(page, { items: [{ id: one.id, title: 'Last' }], size: 1, page: 1 })
  t.ok(page.total >= 2)
  const own = await done<Page<Grant>>(server, 'GET', '/upload-grants?size=100', admin)
  const { items } = await done<Page<Grant>>(server, 'GET', '/upload-grants?size=100', instructor)
  const others = new Set(items.map(({ id }) => id))
  t.notOk(own.items.some(({ id }) => others.has(id)))
})

t.test('a repeated creation with a key is one grant with one URL', async (t) => {
  const headers = { ...instructor.headers, 'idempotency-key': 'grant-1' }
  const send = () =>
    server.inject({ method: 'POST', url: '/upload-grants', headers, payload: { max_bytes: song.length } })
  const [first, again] = [await send(), await send()]
  t.equal(again.body, first.body)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(again.headers['cache-control'], 'no-store')
  server.clock.advance(HOUR)
})
