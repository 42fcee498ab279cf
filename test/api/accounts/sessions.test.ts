import { createHmac, randomUUID } from 'node:crypto'
import t from 'tap'
import { Accounts } from '../../../src/accounts/accounts.js'
import { createPasswordHasher } from '../../../src/accounts/passwords.js'
import { Sessions } from '../../../src/accounts/sessions.js'
import { openDatabase } from '../../../src/database/open.js'
import { createLoginGuard } from '../../../src/limits/login-guard.js'
import { LocalSlidingWindow } from '../../../src/limits/sliding-window.js'
import { loadSecrets } from '../../../src/secrets/keyring.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { eventually } from '../../support/server-process.js'
import { logIn, signUp, type Person } from '../../support/client.js'
import { systemClock } from '../../../src/time.js'

const DAY = 86_400_000
const password = 'secure_password123'

interface Tokens {
  id: string
  access_token: string
  refresh_token: string
}

const post = ({ inject }: TestApp, url: string, payload: object, token?: string) =>
  inject({ method: 'POST', url, payload, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
const tokensOf = async (server: TestApp, email: string, secret = password) =>
  (await logIn(server, email, secret)).json<Tokens>()
const refresh = (server: TestApp, token: string) => post(server, '/auth/refresh', { refresh_token: token })
const me = ({ inject }: TestApp, token: string) =>
  inject({ url: '/auth/me', headers: { authorization: `Bearer ${token}` } })
const claims = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>
const patch = ({ inject }: TestApp, id: string, payload: object, { headers }: Person) =>
  inject({ method: 'PATCH', url: `/users/${id}`, payload, headers })
/** Two processes on one database. */
const server = await buildTestApp(t)
const other = await openTestApp(t, server.env, server.folder)
const admin = await signUp(server)
/** On another process an ended session may answer for one second more. */
const atOnce = () => {
  for (const { clock } of [server, other]) clock.advance(1000)
}

t.test('a refresh token gives the next tokens once; shown again it ends the session on every process', async (t) => {
  const student = await signUp(server, 'student')
  for (const url of ['/auth/signup', '/auth/login']) {
    const reply = await post(server, url, {
      email: url === '/auth/login' ? student.email : 'new@example.org',
      password
    })
    t.match(reply.json(), { refresh_token: /^[\w-]{43}\.[\w-]{43}$/ }, url)
    t.equal(reply.headers['cache-control'], 'no-store', url)
  }
  const first = await tokensOf(server, student.email)
  const bystander = await tokensOf(server, student.email)
  const second = (await refresh(other, first.refresh_token)).json<Tokens>()
  t.same(Object.keys(second).sort(), ['access_token', 'expires_in', 'refresh_token', 'token', 'token_type'])
  t.match(claims(second.access_token), { sub: student.id, role: 'student', sid: claims(first.access_token).sid })
  t.not(second.refresh_token, first.refresh_token)
  const third = (await refresh(server, second.refresh_token)).json<Tokens>()
  for (const { access_token: token } of [first, second, third]) t.equal((await me(server, token)).statusCode, 200)
  t.equal((await me(other, third.access_token)).statusCode, 200)

  expectProblem(t, await refresh(server, first.refresh_token), 401, 'invalid_refresh_token')
  expectProblem(t, await refresh(server, third.refresh_token), 401, 'invalid_refresh_token')
  for (const { access_token: token } of [first, second, third]) {
    expectProblem(t, await me(server, token), 401, 'invalid_token')
  }
  atOnce()
  expectProblem(t, await me(other, third.access_token), 401, 'invalid_token')
  t.equal((await me(other, bystander.access_token)).statusCode, 200, 'other sessions go on')
  for (const bad of ['x', third.access_token, bystander.refresh_token + 'x', bystander.refresh_token.slice(1)]) {
    expectProblem(t, await refresh(server, bad), 401, 'invalid_refresh_token')
  }
  for (const bad of [{}, { refresh_token: '' }, { refresh_token: 5 }, { refresh_token: 'x', more: 1 }]) {
    expectProblem(t, await post(server, '/auth/refresh', bad), 422, 'validation_failed')
  }
})

t.test(
  'of twenty parallel refreshes of one token exactly one succeeds, on two processes, and the session is over',
  async (t) => {
    const student = await signUp(server, 'student')
    const { refresh_token: token } = await tokensOf(server, student.email)
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) => refresh(index % 2 ? server : other, token))
    )
    t.same(replies.map(({ statusCode }) => statusCode).sort(), [200, ...Array<number>(19).fill(401)])
    const winner = replies.find(({ statusCode }) => statusCode === 200)!.json<Tokens>()
    expectProblem(t, await refresh(server, winner.refresh_token), 401, 'invalid_refresh_token')
    atOnce()
    for (const process of [server, other]) {
      expectProblem(t, await me(process, winner.access_token), 401, 'invalid_token')
    }
  }
)

t.test(
  'logout ends its session at once, by the access token or, when that has expired, by the refresh token',
  async (t) => {
    const student = await signUp(server, 'student')
    for (const by of ['access', 'refresh'] as const) {
      const [mine, bystander] = [await tokensOf(server, student.email), await tokensOf(server, student.email)]
      t.equal((await me(other, mine.access_token)).statusCode, 200)
      const reply =
        by === 'access'
          ? await post(server, '/auth/logout', {}, mine.access_token)
          : await post(server, '/auth/logout', { refresh_token: mine.refresh_token })
      t.equal(reply.statusCode, 204, by)
      expectProblem(t, await me(server, mine.access_token), 401, 'invalid_token')
      expectProblem(t, await refresh(other, mine.refresh_token), 401, 'invalid_refresh_token')
      atOnce()
      expectProblem(t, await me(other, mine.access_token), 401, 'invalid_token')
      t.equal((await me(server, bystander.access_token)).statusCode, 200)
    }
    expectProblem(t, await server.inject({ method: 'POST', url: '/auth/logout' }), 401, 'not_authenticated')
    expectProblem(t, await post(server, '/auth/logout', {}, 'x.y.z'), 401, 'invalid_token')
    t.equal(
      (await post(server, '/auth/logout', { refresh_token: 'unknown' })).statusCode,
      204,
      'RFC 7009: an unknown one is no error'
    )
  }
)

t.test('a new password ends the other sessions at once and keeps to the rules', async (t) => {
  const student = await signUp(server, 'student')
  const [mine, bystander] = [await tokensOf(server, student.email), await tokensOf(server, student.email)]
  const change = (body: object) => post(server, '/auth/password', body, mine.access_token)
  expectProblem(
    t,
    await change({ current_password: 'wrong password', new_password: 'another password' }),
    403,
    'wrong_password',
    ['current_password']
  )
  for (const fresh of ['short', 'password1', 'ä'.repeat(40)]) {
    expectProblem(t, await change({ current_password: password, new_password: fresh }), 422, 'validation_failed', [
      'new_password'
    ])
  }
  expectProblem(
    t,
    await post(server, '/auth/password', { current_password: password, new_password: 'another password' }),
    401,
    'not_authenticated'
  )
  t.equal((await change({ current_password: password, new_password: 'another password' })).statusCode, 204)
  t.equal((await me(server, mine.access_token)).statusCode, 200, 'the one that asked goes on')
  t.equal((await refresh(server, mine.refresh_token)).statusCode, 200)
  expectProblem(t, await me(server, bystander.access_token), 401, 'invalid_token')
  expectProblem(t, await refresh(server, bystander.refresh_token), 401, 'invalid_refresh_token')
  atOnce()
  for (const { access_token: token } of [student, bystander].map((one) => ({
    access_token: 'token' in one ? one.token : one.access_token
  }))) {
    expectProblem(t, await me(other, token), 401, 'invalid_token')
  }
  expectProblem(t, await post(server, '/auth/login', { email: student.email, password }), 401, 'invalid_credentials')
  t.ok((await tokensOf(server, student.email, 'another password')).access_token)
})

t.test(
  'guesses at a password by its change count as failed logins do; what is right, or no guess, is given back',
  async (t) => {
    const server = await buildTestApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '3' })
    const student = await signUp(server, 'student')
    const change = (current: string, remoteAddress: string) =>
      server.inject({
        method: 'POST',
        url: '/auth/password',
        headers: student.headers,
        payload: { current_password: current, new_password: password },
        remoteAddress
      })
    for (let round = 0; round < 5; round++) t.equal((await change(password, `198.51.100.${round}`)).statusCode, 204)
    for (let round = 0; round < 3; round++) {
      expectProblem(t, await change('wrong password', `192.0.2.${round}`), 403, 'wrong_password')
    }
    expectProblem(t, await change(password, '192.0.2.9'), 429, 'rate_limit_exceeded')
    const reply = await server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: student.email, password },
      remoteAddress: '192.0.2.10'
    })
    expectProblem(t, reply, 429, 'rate_limit_exceeded')
  }
)

t.test("a full queue is nobody's wrong guess (bug: a login that was refused for it counted as failed)", async (t) => {
  const student = await signUp(server, 'student')
  const db = openDatabase(server.config.database)
  const busy = { threads: 0, run: () => Promise.reject(new Error('no thread is free')), close: async () => {} }
  const [full, idle] = [createPasswordHasher(4, { maxWaiting: 0, workers: busy }), createPasswordHasher(4)]
  t.teardown(() => Promise.all([db.destroy(), full.close(), idle.close()]))
  const failedLogins = createLoginGuard(new LocalSlidingWindow(systemClock), systemClock, 3)
  const sessions = [full, idle].map((passwords) =>
    new Sessions({
      db,
      passwords,
      failedLogins,
      clock: systemClock,
      accessSeconds: 60,
      refreshSeconds: 60,
      onReuse: () => {},
      accounts: new Accounts({
        db,
        passwords,
        clock: systemClock,
        signupOpen: true,
        firstIsAdmin: false
      })
    })
  ) as [Sessions, Sessions]
  for (let round = 0; round < 9; round++) {
    await t.rejects(sessions[0].logIn(student.email, password, '203.0.113.7'), { code: 'overloaded' })
  }
  t.match(await sessions[1].logIn(student.email, password, '203.0.113.7'), { account: { id: student.id } })
})

t.test('no login or refresh slips by a password that changes, or an account that is disabled, meanwhile', async (t) => {
  const student = await signUp(server, 'student')
  for (let round = 0; round < 3; round++) {
    const [now, next] = round % 2 ? ['another password', password] : [password, 'another password']
    const { access_token: token } = await tokensOf(server, student.email, now)
    const [changed, ...logins] = await Promise.all([
      post(server, '/auth/password', { current_password: now, new_password: next }, token),
      ...Array.from({ length: 6 }, () => post(server, '/auth/login', { email: student.email, password: now }))
    ])
    t.equal(changed.statusCode, 204)
    for (const login of logins) {
      if (login.statusCode === 200) {
        expectProblem(t, await me(server, login.json<Tokens>().access_token), 401, 'invalid_token')
      }
    }
  }
  const lives = await tokensOf(server, student.email, 'another password')
  const [disabled, ...tries] = await Promise.all([
    patch(server, student.id, { disabled: true }, admin),
    ...Array.from({ length: 6 }, () =>
      post(server, '/auth/login', { email: student.email, password: 'another password' })
    )
  ])
  t.equal(disabled.statusCode, 200)
  await patch(server, student.id, { disabled: false }, admin)
  for (const token of [
    lives.access_token,
    ...tries.flatMap((reply) => (reply.statusCode === 200 ? [reply.json<Tokens>().access_token] : []))
  ]) {
    expectProblem(t, await me(server, token), 401, 'invalid_token')
  }
})

t.test('the database holds no refresh token, and what has ended is swept', async (t) => {
  const server = await buildTestApp(t, { REFRESH_TOKEN_EXPIRE_DAYS: '7' }, { maintenanceIntervalMs: 20 })
  const student = await signUp(server, 'student')
  const count = async (table: string) =>
    Number((await server.query<{ n: unknown }>(`select count(*) as n from ${table}`))[0]!.n)
  const { refresh_token: first } = await tokensOf(server, student.email)
  const second = (await refresh(server, first)).json<Tokens>()
  const rows = JSON.stringify([
    await server.query('select * from refresh_tokens'),
    await server.query('select * from sessions')
  ])
  for (const token of [first, second.refresh_token]) t.notOk(rows.includes(token))
  const many = Array.from(
    { length: 1005 },
    (_, index) => `('${randomUUID()}', '${student.id}', ${server.clock.now - 5000 + index}, ${server.clock.now + DAY})`
  )
  await server.query(`insert into sessions (id, account_id, created_at, expires_at) values ${many.join()}`)
  await tokensOf(server, student.email)
  t.equal(await count('sessions'), 1000, 'of one account the newest thousand stay')
  server.clock.advance(6 * DAY)
  const third = (await refresh(server, second.refresh_token)).json<Tokens>()
  server.clock.advance(2 * DAY)
  t.equal((await refresh(server, third.refresh_token)).statusCode, 200, 'each lives its days from its own birth')
  server.clock.advance(7 * DAY)
  expectProblem(t, await refresh(server, third.refresh_token), 401, 'invalid_refresh_token')
  await eventually('nothing is left', async () => (await count('sessions')) + (await count('refresh_tokens')) === 0)
})

t.test('a token that was found good once is not good for a millisecond after its end', async (t) => {
  const { token } = await signUp(server, 'student')
  t.equal((await me(server, token)).statusCode, 200)
  const endsAt = (claims(token).exp as number) * 1000
  const at = async (time: number) => {
    const { restore } = t.capture(Date, 'now', () => time)
    try {
      return await me(server, token)
    } finally {
      restore()
    }
  }
  t.equal((await at(endsAt - 1)).statusCode, 200)
  expectProblem(t, await at(endsAt), 401, 'invalid_token')
})

t.test('a token from before there were sessions is good until it expires, and still asks the database', async (t) => {
  const student = await signUp(server, 'student')
  const [head, body] = student.token.split('.') as [string, string]
  const { sid, ...older } = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>
  t.ok(sid)
  const sign = (payload: object) => {
    const signed = `${head}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`
    const { key } = loadSecrets(server.config).keyring('jwt').current
    return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
  }
  t.equal((await me(server, sign(older))).statusCode, 200)
  t.equal((await post(server, '/auth/logout', {}, sign(older))).statusCode, 204)
  for (const bad of ['', 5, null, 'x', claims(admin.token).sid]) {
    expectProblem(t, await me(server, sign({ ...older, sid: bad })), 401, 'invalid_token')
  }
  await patch(server, student.id, { disabled: true }, admin)
  expectProblem(t, await me(server, sign(older)), 401, 'invalid_token')
})

t.test('users', async (t) => {
  const [instructor, student] = [await signUp(server), await signUp(server, 'student')]
  const get = (url: string, person = admin) => server.inject({ url, headers: person.headers })

  await t.test(
    'are listed newest first, found by part of email or name, and none but an admin sees them',
    async (t) => {
      const all = (await get('/users')).json<{ items: Array<{ id: string }>; total: number }>()
      const total = Number((await server.query<{ n: unknown }>('select count(*) as n from accounts'))[0]!.n)
      t.match(all, { total, page: 1, size: 10, pages: Math.ceil(total / 10) })
      t.same(new Set(all.items.slice(0, 2).map(({ id }) => id)), new Set([instructor.id, student.id]))
      t.notOk(/hash|token/.test(JSON.stringify(all)))
      t.match((await get(`/users?size=1&page=${total}`)).json(), { items: [{ id: admin.id }], total, pages: total })
      t.match((await get(`/users?q=${student.email.toUpperCase()}`)).json(), { items: [{ id: student.id }], total: 1 })
      t.ok((await get('/users?q=st%20pers')).json<{ total: number }>().total > 2, 'a name')
      t.match((await get('/users?q=%25')).json(), { total: 0 }, 'a percent sign is itself')
      const made = await server.inject({
        method: 'POST',
        url: '/users',
        headers: admin.headers,
        payload: { email: 'made@example.org', password, role: 'student' }
      })
      t.match((await get(made.headers.location as string)).json(), { email: 'made@example.org', disabled: false })
      for (const id of ['nonsense', '019377a4-3f00-7000-8000-000000000000']) {
        expectProblem(t, await get(`/users/${id}`), 404, 'not_found')
        expectProblem(t, await patch(server, id, { disabled: true }, admin), 404, 'not_found')
      }
      for (const person of [instructor, student]) {
        for (const url of ['/users', `/users/${person.id}`, '/users/nonsense']) {
          expectProblem(t, await get(url, person), 403, 'role_required')
        }
        expectProblem(t, await patch(server, person.id, { role: 'admin' }, person), 403, 'role_required')
      }
      for (const url of ['/users', `/users/${admin.id}`]) {
        expectProblem(t, await server.inject({ url }), 401, 'not_authenticated')
      }
      for (const bad of [{ role: 'root' }, { disabled: 'yes' }, { email: 'x@example.org' }]) {
        expectProblem(t, await patch(server, student.id, bad, admin), 422, 'validation_failed')
      }
    }
  )

  await t.test('get another role, and are disabled, at once on every process', async (t) => {
    const list = (process: TestApp) => process.inject({ url: '/users', headers: instructor.headers })
    expectProblem(t, await list(other), 403, 'role_required')
    t.match((await patch(server, instructor.id, { role: 'admin' }, admin)).json(), { role: 'admin', disabled: false })
    t.equal((await list(server)).statusCode, 200)
    atOnce()
    t.equal((await list(other)).statusCode, 200)
    const before = await tokensOf(server, instructor.email)
    t.match((await patch(server, instructor.id, { disabled: true }, admin)).json(), { role: 'admin', disabled: true })
    expectProblem(t, await list(server), 401, 'invalid_token')
    expectProblem(t, await refresh(other, before.refresh_token), 401, 'invalid_refresh_token')
    atOnce()
    expectProblem(t, await list(other), 401, 'invalid_token')
    expectProblem(t, await post(server, '/auth/login', { email: instructor.email, password }), 403, 'account_disabled')
    t.match((await patch(server, instructor.id, { role: 'instructor', disabled: false }, admin)).json(), {
      role: 'instructor',
      disabled: false
    })
    expectProblem(t, await list(server), 401, 'invalid_token', [])
    t.ok((await tokensOf(server, instructor.email)).access_token)
  })

  await t.test('always have an admin left who can log in', async (t) => {
    for (const change of [{ disabled: true }, { role: 'student' }, { role: 'instructor', disabled: true }]) {
      expectProblem(t, await patch(server, admin.id, change, admin), 409, 'last_admin')
    }
    t.equal((await patch(server, admin.id, { role: 'admin', disabled: false }, admin)).statusCode, 200)
    await patch(server, student.id, { role: 'admin' }, admin)
    const [a, b] = await Promise.all([
      patch(server, student.id, { role: 'student' }, admin),
      patch(other, admin.id, { role: 'student' }, admin)
    ])
    t.same([a.statusCode, b.statusCode].sort(), [200, 409], 'two that demote one another at once do not both succeed')
  })
})

t.test('a page on another origin may change things (bug: PATCH, PUT and DELETE were no methods of CORS)', async (t) => {
  const reply = await server.inject({
    method: 'OPTIONS',
    url: '/users/x',
    headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'PATCH' }
  })
  t.match(reply, { statusCode: 204, headers: { 'access-control-allow-methods': /PUT, PATCH, DELETE/ } })
})
