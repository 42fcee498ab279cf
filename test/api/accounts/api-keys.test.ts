import { request, type IncomingMessage } from 'node:http'
import t from 'tap'
import type { Scope } from '../../../src/accounts/scopes.js'
import { newKey, requestKey, revokeKey, type HeldKey } from '../../support/api-keys.js'
import { newCourse, newLecture } from '../../support/courses.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { mintLink, signUp, upload, type Person } from '../../support/client.js'

const DAY = 86_400_000

/** Two processes on one database. */
const server = await buildTestApp(t, {}, { reviewEveryMs: 50 })
const other = await openTestApp(t, server.env, server.folder)
const admin = await signUp(server)
const owner = await signUp(server)

interface Listed {
  items: Array<{ id: string; name: string; last_used_at: string | null; scopes: Scope[] }>
  total: number
}

const list = async ({ headers }: Person, url = '/api-keys') => (await server.inject({ url, headers })).json<Listed>()
const media = ({ inject }: TestApp, { headers }: HeldKey, remoteAddress?: string) =>
  inject({ url: '/media', headers, ...(remoteAddress && { remoteAddress }) })
const patch = (id: string, { headers }: Person, payload: object) =>
  server.inject({ method: 'PATCH', url: `/api-keys/${id}`, headers, payload })

t.test('a key is shown once, and the database holds only its hash', async (t) => {
  const reply = await requestKey(server, owner, { scopes: ['uploads', 'links'], expires_in_days: 90 })
  t.equal(reply.statusCode, 201)
  t.equal(reply.headers['cache-control'], 'no-store')
  const { key, ...shown } = reply.json<{ id: string; key: string; prefix: string; expires_at: string }>()
  t.match(key, /^pgk_[\da-f]{32}_[\w-]{43}$/)
  t.ok(key.startsWith(`${shown.prefix}_`))
  t.equal(shown.prefix, `pgk_${shown.id.replaceAll('-', '')}`)
  t.match(shown, { account_id: owner.id, scopes: ['uploads', 'links'], addresses: [], last_used_at: null })
  t.equal(Date.parse(shown.expires_at), server.clock.now + 90 * DAY)
  t.same((await list(owner)).items[0], shown)
  t.notOk(JSON.stringify(await server.query('select * from api_keys')).includes(key.slice(-43)))
})

t.test('a key is renamed; its owner and administrators see it, and nobody else', async (t) => {
  const { id } = await newKey(server, owner)
  const stranger = await signUp(server)
  t.match((await patch(id, owner, { name: ' Import ' })).json(), { name: 'Import' })
  t.match((await patch(id, admin, { name: 'By an administrator' })).json(), { name: 'By an administrator' })
  expectProblem(t, await patch(id, stranger, { name: 'Mine' }), 404, 'not_found')
  t.match((await list(admin, `/users/${owner.id}/api-keys`)).items[0], { id, name: 'By an administrator' })
  t.equal((await list(stranger)).total, 0)
  await revokeKey(server, admin, { id })
  t.notOk((await list(owner)).items.some((one) => one.id === id))
})

t.test('fields of a new key are checked', async (t) => {
  const cases: Array<[payload: object, path: string]> = [
    [{ scopes: [] }, 'scopes'],
    [{ scopes: ['everything'] }, 'scopes.0'],
    [{ scopes: ['links', 'links'] }, 'scopes'],
    [{ expires_in_days: 0 }, 'expires_in_days'],
    [{ expires_in_days: 366 }, 'expires_in_days'],
    [{ addresses: ['192.0.2.0/33'] }, 'addresses.0'],
    [{ addresses: ['example.org'] }, 'addresses.0'],
    [{ addresses: ['fe80::1%eth0'] }, 'addresses.0'],
    [{ name: ' ' }, 'name'],
    [{ account_id: admin.id }, 'account_id']
  ]
  for (const [payload, path] of cases) {
    expectProblem(t, await requestKey(server, owner, payload), 422, 'validation_failed', [path])
  }
})

t.test('a revoked key is refused at once, and on another process within a second', async (t) => {
  const key = await newKey(server, owner)
  for (const one of [server, other]) t.equal((await media(one, key)).statusCode, 200)
  await revokeKey(server, owner, key)
  expectProblem(t, await media(server, key), 401, 'invalid_token')
  other.clock.advance(1000)
  expectProblem(t, await media(other, key), 401, 'invalid_token')
})

t.test('a key that is a moment old works on every process', async (t) => {
  const key = await newKey(server, owner)
  t.equal((await media(other, key)).statusCode, 200)
})

t.test('a key expires', async (t) => {
  const key = await newKey(server, owner, { expires_in_days: 1 })
  server.clock.advance(DAY - 1)
  t.equal((await media(server, key)).statusCode, 200)
  server.clock.advance(1)
  expectProblem(t, await media(server, key), 401, 'invalid_token')
})

t.test('a key does what the role of its account allows now, and nothing once the account is disabled', async (t) => {
  const person = await signUp(server)
  const change = (payload: object) =>
    server.inject({ method: 'PATCH', url: `/users/${person.id}`, headers: admin.headers, payload })
  const key = await newKey(server, person, { scopes: ['users:admin'] })
  const users = () => server.inject({ url: '/users', headers: key.headers })
  expectProblem(t, await users(), 403, 'role_required')
  await change({ role: 'admin' })
  t.equal((await users()).statusCode, 200)
  await change({ role: 'student' })
  expectProblem(t, await users(), 403, 'role_required')
  await change({ disabled: true })
  expectProblem(t, await users(), 401, 'invalid_token')
})

t.test('a key is accepted only from its addresses', async (t) => {
  const person = await signUp(server)
  const key = await newKey(server, person, { addresses: ['192.0.2.0/24', '2001:db8::1'] })
  for (const address of ['192.0.2.9', '::ffff:192.0.2.9', '2001:db8::1']) {
    t.equal((await media(server, key, address)).statusCode, 200, address)
  }
  for (const address of ['192.0.3.9', '2001:db8::2', '127.0.0.1']) {
    expectProblem(t, await media(server, key, address), 403, 'key_address_refused')
  }
})

t.test('of 20 parallel requests, as many get a key as the account has room for', async (t) => {
  const person = await signUp(server)
  for (let index = 0; index < 45; index++) await newKey(server, person)
  const replies = await Promise.all(Array.from({ length: 20 }, () => requestKey(server, person)))
  t.equal(replies.filter(({ statusCode }) => statusCode === 201).length, 5)
  for (const reply of replies.filter(({ statusCode }) => statusCode !== 201)) {
    expectProblem(t, reply, 409, 'too_many_keys')
  }
  t.equal((await list(person)).total, 50)
})

t.test('the last use is stored, at most once a minute', async (t) => {
  const person = await signUp(server)
  const key = await newKey(server, person)
  const lastUse = async () => (await list(person)).items[0]!.last_used_at
  const usedAt = server.clock.now
  await media(server, key)
  await eventually('a use is stored', async () => (await lastUse()) !== null)
  t.equal(Date.parse((await lastUse())!), usedAt)
  server.clock.advance(59_000)
  await Promise.all(Array.from({ length: 20 }, () => media(server, key)))
  t.equal(Date.parse((await lastUse())!), usedAt, 'no write')
  server.clock.advance(1000)
  await media(server, key)
  await eventually('the next use is stored', async () => Date.parse((await lastUse())!) === usedAt + 60_000)
})

t.test('without the scope links, lectures have no URL', async (t) => {
  const person = await signUp(server)
  const course = await newCourse(server, person)
  await newLecture(server, person, course.id, { file: 'tiny.ogg' })
  for (const [scopes, hasUrl] of [
    [['courses:read'], false],
    [['courses:read', 'links'], true]
  ] as const) {
    const { headers } = await newKey(server, person, { scopes })
    const [lecture] = (await server.inject({ url: `/course/${course.id}/lectures`, headers })).json<
      Array<{ url: string | null }>
    >()
    t.equal(typeof lecture!.url === 'string', hasUrl, scopes.join(' '))
  }
})

t.test('a key with the scope links mints links, and one with uploads only uploads', async (t) => {
  const person = await signUp(server)
  const [links, uploads] = [
    await newKey(server, person, { scopes: ['links'] }),
    await newKey(server, person, { scopes: ['uploads'] })
  ]
  const reply = await upload(server, { ...person, headers: uploads.headers })
  t.equal(reply.statusCode, 201)
  const { id } = reply.json<{ id: string }>()
  const url = await mintLink(server, id, { ...person, headers: links.headers })
  t.equal((await server.inject({ url })).statusCode, 200)
  for (const path of [`/media/${id}`, `/media/${id}/stream-url`, `/media/stream/${id}`]) {
    expectProblem(t, await server.inject({ url: path, headers: uploads.headers }), 403, 'scope_required')
  }
})

t.test('an upload is cut when its key is revoked', async (t) => {
  const origin = await server.listen()
  const person = await signUp(server)
  const key = await newKey(server, person)
  const file = await fixture('tiny.ogg')
  const stored = (await server.storedFiles()).length
  let response: IncomingMessage | undefined
  const sent = request(`${origin}/media/uploads?title=A&type=audio`, {
    method: 'PUT',
    headers: { ...key.headers, 'content-length': String(file.length) }
  })
  sent.on('error', () => {})
  sent.on('response', (received) => {
    response = received
  })
  sent.write(file.subarray(0, 100))
  await eventually('the upload is under way', async () => (await server.storedFiles()).length > stored)
  await revokeKey(server, person, key)
  await new Promise((resolve) => sent.once('close', resolve))
  t.equal(response, undefined, 'the connection was closed')
  t.equal((await server.query(`select id from media where owner_id = '${person.id}'`)).length, 0)
})

t.test('a key has rate limits of its own', async (t) => {
  const limited = await buildTestApp(t, { RATE_LIMIT_API_PER_MINUTE: '10' })
  const person = await signUp(limited)
  const [one, two] = [await newKey(limited, person), await newKey(limited, person)]
  const statuses = async (key: { headers: { authorization: string } }, count: number) => {
    const all = []
    for (let index = 0; index < count; index++) {
      all.push((await limited.inject({ url: '/media', headers: key.headers })).statusCode)
    }
    return all
  }
  // The first request of a key counts for the address: the process does not know the key yet.
  t.same(await statuses(one, 12), [...Array<number>(11).fill(200), 429])
  t.same(await statuses(two, 1), [200], 'another key')
  const unknown = { headers: { authorization: `Bearer ${one.key.slice(0, -43)}${'A'.repeat(43)}` } }
  const refused = await statuses(unknown, 20)
  t.ok(refused.includes(429), 'an unknown key counts for its address')
  t.same(await statuses(two, 10), Array<number>(10).fill(200), 'which keys do not count for')
})
