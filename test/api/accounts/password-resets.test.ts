import t from 'tap'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { signUp, type Person } from '../../support/client.js'

const HOUR = 3_600_000
const OLD = 'secure_password123'
const NEW = 'another_password456'

/** Two processes on one database. */
const server = await buildTestApp(t)
const other = await openTestApp(t, server.env, server.folder)
const admin = await signUp(server)

const post = ({ inject }: TestApp, url: string, payload?: object, person?: Person, host?: string) =>
  inject({ method: 'POST', url, payload, headers: { ...person?.headers, ...(host !== undefined && { host }) } })
const logIn = async ({ email }: Person, password: string) =>
  (await post(server, '/auth/login', { email, password })).statusCode
const newLink = async (person: Person) => {
  const reply = await post(server, `/users/${person.id}/reset-link`, undefined, admin)
  const { reset_url: url, expires_at: expiresAt } = reply.json<{ reset_url: string; expires_at: string }>()
  return { reply, url, expiresAt, token: url.split('#')[1]! }
}
const reset = (on: TestApp, token: string, password = NEW) => post(on, '/auth/reset', { token, password })

t.test('a link sets a new password once, and ends all sessions on every process', async (t) => {
  const person = await signUp(server)
  const me = (on: TestApp) => on.inject({ url: '/auth/me', headers: person.headers })
  for (const one of [server, other]) t.equal((await me(one)).statusCode, 200)
  const { reply, url, expiresAt, token } = await newLink(person)
  t.equal(reply.statusCode, 201)
  t.equal(reply.headers['cache-control'], 'no-store')
  t.match(url, /^http:\/\/localhost:80\/reset#[\w-]{43}$/)
  t.equal(Date.parse(expiresAt), server.clock.now + 24 * HOUR)
  t.equal((await reset(server, token)).statusCode, 204)
  expectProblem(t, await me(server), 401, 'invalid_token')
  other.clock.advance(1000)
  expectProblem(t, await me(other), 401, 'invalid_token')
  t.equal(await logIn(person, OLD), 401)
  t.equal(await logIn(person, NEW), 200)
  expectProblem(t, await reset(server, token), 403, 'reset_link_invalid')
})

t.test('of 20 parallel requests with one link, on two processes, one succeeds', async (t) => {
  const person = await signUp(server)
  const { token } = await newLink(person)
  const passwords = Array.from({ length: 20 }, (_, index) => `another_password${index}`)
  const replies = await Promise.all(
    passwords.map((password, index) => reset(index % 2 === 0 ? server : other, token, password))
  )
  const winners = passwords.filter((_, index) => replies[index]!.statusCode === 204)
  t.equal(winners.length, 1)
  t.equal(await logIn(person, winners[0]!), 200)
  for (const reply of replies.filter(({ statusCode }) => statusCode !== 204)) {
    expectProblem(t, reply, 403, 'reset_link_invalid')
  }
})

t.test('a link ends after 24 hours, and when a new link is created; a refused password leaves it unused', async (t) => {
  const person = await signUp(server)
  const [first, second] = [await newLink(person), await newLink(person)]
  expectProblem(t, await reset(server, first.token), 403, 'reset_link_invalid')
  expectProblem(t, await reset(server, second.token, 'short'), 422, 'validation_failed', ['password'])
  expectProblem(t, await reset(server, second.token, 'password123'), 422, 'validation_failed', ['password'])
  server.clock.advance(24 * HOUR)
  expectProblem(t, await reset(server, second.token), 403, 'reset_link_invalid')
  t.equal(await logIn(person, OLD), 200)
})

t.test('the database holds only the hash of a link', async (t) => {
  const { token } = await newLink(await signUp(server))
  const rows = JSON.stringify(await server.query('select * from reset_links'))
  t.notOk(rows.includes(token))
})

t.test('a disabled account stays disabled after a reset', async (t) => {
  const person = await signUp(server)
  await server.inject({
    method: 'PATCH',
    url: `/users/${person.id}`,
    headers: admin.headers,
    payload: { disabled: true }
  })
  const { token } = await newLink(person)
  t.equal((await reset(server, token)).statusCode, 204)
  t.equal(await logIn(person, NEW), 403)
})

t.test('a link starts with PUBLIC_URL, whatever the Host header says', async (t) => {
  const published = await buildTestApp(t, { PUBLIC_URL: 'https://media.example.org' })
  const person = await signUp(published)
  const reply = await post(published, `/users/${person.id}/reset-link`, undefined, person, 'evil.example')
  t.match(reply.json<{ reset_url: string }>().reset_url, /^https:\/\/media\.example\.org\/reset#/)
})

t.test('guesses of tokens are limited like logins', async (t) => {
  const limited = await buildTestApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '10' })
  const statuses = []
  for (let index = 0; index < 11; index++) statuses.push((await reset(limited, 'x'.repeat(43))).statusCode)
  t.same(statuses, [...Array<number>(10).fill(403), 429])
})

t.test('the page of a link allows only its own files, and no frame', async (t) => {
  const reply = await server.inject({ url: '/reset' })
  t.match(reply.headers['content-security-policy'], /script-src 'self'.*form-action 'none'; frame-ancestors 'none'/)
  t.equal(reply.headers['referrer-policy'], 'no-referrer')
  for (const [, file] of reply.body.matchAll(/(?:href|src)="(\/reset\/[^"]+)"/g)) {
    t.equal((await server.inject({ url: file! })).statusCode, 200, file!)
  }
})
