import { createHmac } from 'node:crypto'
import t from 'tap'
import { loadConfig } from '../../../src/config/config.js'
import { loadSecrets } from '../../../src/secrets/keyring.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { logIn, signUp, signUpEverybody } from '../../support/client.js'

const password = 'secure_password123'
const form = { 'content-type': 'application/x-www-form-urlencoded' }
let mobile = 1e9
const registration = (email: string, more: object = {}) => ({
  first_name: ' Ada ',
  last_name: 'Lovelace',
  email,
  password,
  date_of_birth: '1990-01-01',
  mobile_number: `+1${++mobile}`,
  role: 'student',
  ...more
})
const post = ({ inject }: TestApp, url: string, payload: object, headers = {}) =>
  inject({ method: 'POST', url, payload, headers })
const me = ({ inject }: TestApp, token: string) =>
  inject({ url: '/auth/me', headers: { authorization: `Bearer ${token}` } })
const bareProblem = (body: string) => ({ ...(JSON.parse(body) as object), request_id: '' })
const part = (token: string, index: number) =>
  JSON.parse(Buffer.from(token.split('.')[index]!, 'base64url').toString()) as Record<string, unknown>

/** A token as the server makes it, but for what is put in its place. */
function forge (
  server: TestApp,
  token: string,
  claims: object,
  { header = {}, key = loadSecrets(server.config).keyring('jwt').current.key } = {}
): string {
  const signed = [
    { ...part(token, 0), ...header },
    { ...part(token, 1), ...claims }
  ]
    .map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'))
    .join('.')
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
}

t.test('exactly one of twenty parallel first signups is the admin', async (t) => {
  const server = await buildTestApp(t)
  const replies = await Promise.all(
    Array.from(
      { length: 20 },
      async (_, index) => await post(server, '/auth/signup', { email: `first-${index}@example.org`, password })
    )
  )
  t.same(
    replies.map(({ statusCode }) => statusCode),
    Array(20).fill(201)
  )
  const roles = replies.map((reply) => reply.json<{ role: string }>().role)
  t.equal(roles.filter((role) => role === 'admin').length, 1)
  t.equal(roles.filter((role) => role === 'instructor').length, 19)
  const again = await Promise.all(
    Array.from(
      { length: 20 },
      async (_, index) =>
        await post(server, '/auth/signup', { email: index % 2 ? 'Same@example.org' : 'same@EXAMPLE.org', password })
    )
  )
  t.same(
    again.map(({ statusCode }) => statusCode).sort(),
    [201, ...Array<number>(19).fill(409)],
    'of twenty parallel signups of one email one gets it'
  )
})

t.test('no signup makes an admin in production, and a token lives as long as it is told', async (t) => {
  const server = await buildTestApp(t, { ENVIRONMENT: 'production', ACCESS_TOKEN_EXPIRE_MINUTES: '7' })
  const reply = await post(server, '/auth/signup', { email: 'a@example.org', password })
  t.match(reply.json(), { role: 'instructor', expires_in: 420 })
  const { iat, exp } = part(reply.json<{ token: string }>().token, 1) as { iat: number; exp: number }
  t.equal(exp - iat, 420, 'bug: the lifetime was a thousand times too long')
})

t.test('a closed signup takes nobody, but an admin makes accounts', async (t) => {
  const open = await buildTestApp(t)
  const admin = await signUp(open)
  const server = await openTestApp(t, { ...open.env, SIGNUP: 'closed' }, open.folder)
  expectProblem(t, await post(server, '/auth/signup', { email: 'b@example.org', password }), 403, 'signup_closed')
  expectProblem(t, await post(server, '/auth/register', registration('b@example.org')), 403, 'signup_closed')
  for (const role of ['admin', 'instructor', 'student']) {
    const made = await post(server, '/users', { email: `${role}@example.org`, password, role }, admin.headers)
    t.equal(made.statusCode, 201)
    t.match(made.json(), { role, email: `${role}@example.org`, disabled: false })
    t.ok(made.headers.location)
    t.notOk(/password|hash|token/.test(made.body))
    t.equal((await logIn(server, `${role}@example.org`)).statusCode, 200)
  }
  expectProblem(
    t,
    await post(server, '/users', { email: 'STUDENT@example.org', password, role: 'student' }, admin.headers),
    409,
    'email_taken'
  )
})

t.test('a token signed by a previous secret is still good, and one of an unknown secret is not', async (t) => {
  const old = await buildTestApp(t)
  const { token } = await signUp(old)
  await old.app.close()
  const SECRET_KEY = 'another secret of at least thirty-two characters'
  const server = await openTestApp(t, { ...old.env, SECRET_KEY, SECRET_KEYS_PREVIOUS: old.env.SECRET_KEY! }, old.folder)
  t.equal((await me(server, token)).statusCode, 200)
  await server.app.close()
  const forgetful = await openTestApp(t, { ...old.env, SECRET_KEY }, old.folder)
  expectProblem(t, await me(forgetful, token), 401, 'invalid_token')
})

t.test('passwords are hashed with a cost of 12', async (t) => {
  const server = await buildTestApp(t, {}, { bcryptCost: undefined })
  await signUp(server)
  const [row] = await server.query<{ password_hash: string }>('select password_hash from accounts')
  t.match(row!.password_hash, /^\$2[aby]\$12\$/)
})

t.test('accounts', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)

  t.test('signup and register answer the account and its token', async (t) => {
    const signedUp = await post(server, '/auth/signup', { email: 'Mixed@Example.org', password })
    t.equal(signedUp.statusCode, 201)
    t.ok(signedUp.headers.location)
    const account = signedUp.json<Record<string, unknown>>()
    t.same(Object.keys(account).sort(), [
      'access_token',
      'created_at',
      'email',
      'expires_in',
      'id',
      'refresh_token',
      'role',
      'token',
      'token_type'
    ])
    t.match(account, {
      role: 'instructor',
      token_type: 'bearer',
      expires_in: 1800,
      id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/,
      created_at: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/
    })
    t.equal(account.token, account.access_token)
    for (const role of ['student', 'INSTRUCTOR', 'Student']) {
      const reply = await post(server, '/auth/register', registration(`r${++mobile}@example.org`, { role }))
      t.match(reply.json(), { role: role.toLowerCase(), first_name: 'Ada', last_name: 'Lovelace' }, role)
      t.equal(reply.statusCode, 201)
    }
  })

  t.test('the examples of the contract are valid', async (t) => {
    t.equal(
      (
        await post(
          server,
          '/auth/register',
          registration('c1@example.org', { mobile_number: '+1234567890', password: 'secure123' })
        )
      ).statusCode,
      201
    )
    expectProblem(
      t,
      await post(server, '/auth/register', registration('c2@example.org', { mobile_number: '+1234567890' })),
      409,
      'mobile_number_taken'
    )
    expectProblem(t, await post(server, '/auth/register', registration('C1@EXAMPLE.org')), 409, 'email_taken')
    expectProblem(t, await post(server, '/auth/signup', { email: 'c1@example.org', password }), 409, 'email_taken')
  })

  t.test('logs in with JSON and with the form of OAuth 2, and the email in any case', async (t) => {
    const { first_name: firstName, last_name: lastName } = { first_name: 'Test', last_name: 'Person' }
    for (const [payload, headers] of [
      [{ email: student.email.toUpperCase(), password }, {}],
      [new URLSearchParams({ username: student.email, password }).toString(), form],
      [
        new URLSearchParams({
          grant_type: 'password',
          username: student.email,
          password,
          scope: '',
          client_id: 'string',
          client_secret: ''
        }).toString(),
        form
      ]
    ] as const) {
      const reply = await server.inject({ method: 'POST', url: '/auth/login', payload, headers })
      t.equal(reply.statusCode, 200, reply.body)
      t.match(reply.json(), {
        id: student.id,
        email: student.email,
        role: 'student',
        first_name: firstName,
        last_name: lastName,
        token_type: 'bearer',
        expires_in: 1800
      })
      t.equal((await me(server, reply.json<{ access_token: string }>().access_token)).statusCode, 200)
    }
  })

  t.test('me is the account, and never a hash', async (t) => {
    const reply = await me(server, student.token)
    t.match(reply.json(), { id: student.id, email: student.email, role: 'student', date_of_birth: '1990-01-01' })
    t.notOk(/hash|\$2/.test(reply.body))
  })

  t.test('an unknown email and a wrong password read the same', async (t) => {
    const wrong = await logIn(server, student.email, 'not the password')
    const unknown = await logIn(server, 'nobody@example.org', 'not the password')
    const malformed = await logIn(server, 'no email at all')
    expectProblem(t, wrong, 401, 'invalid_credentials')
    t.equal(wrong.json<{ detail: string }>().detail, 'Invalid credentials')
    t.same(bareProblem(unknown.body), bareProblem(wrong.body))
    t.same(bareProblem(malformed.body), bareProblem(wrong.body))
    t.equal(wrong.headers['www-authenticate'], 'Bearer')
  })

  t.test('bug: a login of more than 72 bytes was cut to what bcrypt reads, and let in', async (t) => {
    const longest = 'é1'.repeat(24)
    t.equal((await post(server, '/auth/signup', { email: 'long@example.org', password: longest })).statusCode, 201)
    t.equal((await logIn(server, 'long@example.org', longest)).statusCode, 200)
    expectProblem(t, await logIn(server, 'long@example.org', `${longest}x`), 401, 'invalid_credentials')
  })

  t.test('passwords, dates, numbers, names, roles and emails outside the rules are refused by name', async (t) => {
    const nextYear = String(new Date().getUTCFullYear() + 1)
    const bad: Array<[field: string, values: unknown[]]> = [
      [
        'password',
        [
          'short12',
          'a1'.repeat(36) + 'x',
          'é'.repeat(36) + 'x',
          '😀'.repeat(19),
          'password',
          'PASSWORD',
          '12345678',
          'iloveyou',
          '        ',
          'with\0nul12345',
          'lone\ud800surrogate',
          12345678,
          null
        ]
      ],
      [
        'date_of_birth',
        [
          '1899-12-31',
          `${nextYear}-01-01`,
          '1990-02-30',
          '1990-13-01',
          '01.01.1990',
          '1990-01-01T00:00:00Z',
          '',
          19900101,
          null
        ]
      ],
      [
        'mobile_number',
        ['123456789', '+1234567890123456', '12345 67890', '++1234567890', '1234567890+', '١٢٣٤٥٦٧٨٩٠', '', 1234567890]
      ],
      ['first_name', ['', '   ', '\u00a0', 'x'.repeat(101), 'a\nb', 'a\u0007', '\udc00', 7, null, ['a'], {}]],
      ['last_name', ['', 'x'.repeat(101), '\t', 'a\u0085b', false]],
      ['role', ['admin', 'ADMIN', '', 'teacher', ' student', 1, null]],
      [
        'email',
        [
          '',
          'a',
          'a@',
          '@b.org',
          'a b@c.org',
          'a@b\n.org',
          `${'x'.repeat(252)}@b.org`,
          'a\0@b.org',
          '\ud800@b.org',
          5,
          null
        ]
      ]
    ]
    for (const [field, values] of bad) {
      for (const value of values) {
        expectProblem(
          t,
          await post(server, '/auth/register', registration('fine@example.org', { [field]: value })),
          422,
          'validation_failed',
          [field]
        )
      }
      const { [field as 'email']: _, ...without } = registration('fine@example.org')
      expectProblem(t, await post(server, '/auth/register', without), 422, 'validation_failed', [field])
    }
    const good = {
      password: '😀'.repeat(8),
      date_of_birth: '1900-01-01',
      first_name: 'x'.repeat(100),
      last_name: '李',
      mobile_number: '123456789012345'
    }
    t.equal((await post(server, '/auth/register', registration('fine@example.org', good))).statusCode, 201)
  })

  t.test('only an admin makes accounts', async (t) => {
    const body = { email: 'made@example.org', password, role: 'student' }
    expectProblem(t, await post(server, '/users', body), 401, 'not_authenticated')
    for (const { headers } of [instructor, student]) {
      expectProblem(t, await post(server, '/users', body, headers), 403, 'role_required')
    }
    for (const role of ['Admin', 'root', '', 3]) {
      expectProblem(t, await post(server, '/users', { ...body, role }, admin.headers), 422, 'validation_failed', [
        'role'
      ])
    }
  })

  t.test('a token says who it is for, and each is another', async (t) => {
    const again = (await logIn(server, student.email)).json<{ token: string }>().token
    t.match(part(student.token, 0), { alg: 'HS256' })
    const claims = part(student.token, 1)
    t.match(claims, { sub: student.id, role: 'student', iss: String, aud: String, jti: /./ })
    t.same(Object.keys(claims).sort(), ['aud', 'exp', 'iat', 'iss', 'jti', 'role', 'sid', 'sub'])
    t.equal(Number(claims.exp) - Number(claims.iat), 1800)
    t.not(part(again, 1).jti, claims.jti)
  })

  t.test('a token that is not exactly ours is refused; bug: its last character could be another', async (t) => {
    const { token } = student
    const now = Math.floor(Date.now() / 1000)
    const [head, body, signature] = token.split('.') as [string, string, string]
    const none = Buffer.from(JSON.stringify({ ...part(token, 0), alg: 'none' })).toString('base64url')
    t.equal((await me(server, forge(server, token, {}))).statusCode, 200, 'the forge makes good ones')
    for (const bad of [
      '',
      'x',
      'a.b.c',
      '..',
      token.slice(0, -1),
      `${head}.${body}.`,
      `${none}.${body}.`,
      `${none}.${body}.${signature}`,
      `${token}.x`,
      `${token}=`,
      ...Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
        .filter((last) => !token.endsWith(last))
        .map((last) => token.slice(0, -1) + last),
      forge(server, token, {}, { key: Buffer.alloc(32) }),
      forge(server, token, {}, { key: Buffer.from(server.env.SECRET_KEY!) }),
      forge(server, token, {}, { key: loadSecrets(server.config).keyring('link').current.key }),
      forge(server, token, {}, { header: { alg: 'HS512' } }),
      forge(server, token, {}, { header: { kid: undefined } }),
      forge(server, token, {}, { header: { kid: 'nonesuch' } }),
      forge(server, token, { exp: now - 1 }),
      forge(server, token, { iat: now - 3600, exp: now - 1800 }),
      ...['exp', 'iat', 'sub', 'jti', 'iss', 'aud'].map((claim) => forge(server, token, { [claim]: undefined })),
      forge(server, token, { iss: 'other' }),
      forge(server, token, { aud: 'other' }),
      forge(server, token, { exp: 'never' }),
      forge(server, token, { sub: 5 }),
      ...['nobody', '\0', admin.id.replace(/.$/, 'z'), '01a1fbf6-d633-746e-9ed0-2d142c952da7'].map((sub) =>
        forge(server, token, { sub })
      )
    ]) {
      const reply = await me(server, bad)
      expectProblem(t, reply, 401, 'invalid_token')
      t.equal(reply.json<{ detail: string }>().detail, 'Could not validate credentials')
      t.match(reply.headers['www-authenticate'], /^Bearer/)
    }
    for (const authorization of [undefined, '', 'Basic YTpi', token]) {
      const reply = await server.inject({
        url: '/auth/me',
        headers: { ...(authorization !== undefined && { authorization }) }
      })
      expectProblem(t, reply, 401, 'not_authenticated')
      t.equal(reply.json<{ detail: string }>().detail, 'Not authenticated')
      t.match(reply.headers['www-authenticate'], /^Bearer/)
    }
    t.equal(
      (await server.inject({ url: '/auth/me', headers: { authorization: `bearer ${token}` } })).statusCode,
      200,
      'the scheme in any case'
    )
  })

  t.test('a token that claims a higher role than the account has gains nothing', async (t) => {
    const headers = { authorization: `Bearer ${forge(server, student.token, { role: 'admin' })}` }
    expectProblem(
      t,
      await post(server, '/users', { email: 'x@example.org', password, role: 'admin' }, headers),
      403,
      'role_required'
    )
  })

  t.test('a demoted or disabled account loses its rights within a second', async (t) => {
    const boss = (
      await post(server, '/users', { email: 'boss@example.org', password, role: 'admin' }, admin.headers)
    ).json<{ id: string }>()
    const { token } = (await logIn(server, 'boss@example.org')).json<{ token: string }>()
    const attempt = () => post(server, '/users', {}, { authorization: `Bearer ${token}` })
    expectProblem(t, await attempt(), 422, 'validation_failed')
    await server.query(`update accounts set role = 'student' where id = '${boss.id}'`)
    await attempt()
    server.clock.advance(1000)
    expectProblem(t, await attempt(), 403, 'role_required')
    await server.query(`update accounts set disabled = 1 where id = '${boss.id}'`)
    server.clock.advance(1000)
    expectProblem(t, await attempt(), 401, 'invalid_token')
    expectProblem(t, await logIn(server, 'boss@example.org'), 403, 'account_disabled')
    expectProblem(t, await logIn(server, 'boss@example.org', 'wrong password'), 401, 'invalid_credentials')
  })
})

t.test('the lifetime of a token is an exact number of minutes in the configuration', async (t) => {
  t.equal(loadConfig({ ACCESS_TOKEN_EXPIRE_MINUTES: '45' }).accessTokenSeconds, 2700)
})
