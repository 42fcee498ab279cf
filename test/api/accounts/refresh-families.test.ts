import { createHash } from 'node:crypto'
import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { signUp } from '../../support/client.js'

interface Grant {
  refresh_token: string
  access_token: string
}

t.test(
  'a session keeps one row of refresh tokens, however often it is refreshed, and its first token ends it still',
  async (t) => {
    const server = await buildTestApp(t)
    await signUp(server, 'instructor', 'ada@example.org')
    const refresh = (token: string) =>
      server.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: token } })
    const login = await server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: 'ada@example.org', password: 'secure_password123' }
    })
    const first = login.json<Grant>().refresh_token
    let last = login.json<Grant>()
    for (let round = 0; round < 200; round++) last = (await refresh(last.refresh_token)).json<Grant>()
    const rows = await server.query<{ n: number }>('select count(*) as n from refresh_tokens')
    t.equal(Number(rows[0]!.n), 2, 'one of the signup, one of the login')
    t.equal((await refresh(first)).statusCode, 401)
    const me = await server.inject({ url: '/auth/me', headers: { authorization: `Bearer ${last.access_token}` } })
    t.equal(me.statusCode, 401, 'the session ended')
    t.equal((await refresh(last.refresh_token)).statusCode, 401)
  }
)

t.test('a refresh token from before families is good once, and gets a family', async (t) => {
  const server = await buildTestApp(t)
  await signUp(server)
  const old = 'Y2hhbmdlIG1lLCBJIGFtIGdvb2QgZm9yIG9uZSB1c2U'
  await server.query(
    'update refresh_tokens set family_hash = null, token_hash = ' +
      `'${createHash('sha256').update(old).digest('base64url')}'`
  )
  const refresh = (token: string) =>
    server.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: token } })
  const fresh = (await refresh(old)).json<Grant>().refresh_token
  t.match(fresh, /^[\w-]{43}\.[\w-]{43}$/)
  const next = await refresh(fresh)
  t.equal(next.statusCode, 200)
  t.equal((await refresh(old)).statusCode, 401)
  t.equal(
    (await refresh(next.json<Grant>().refresh_token)).statusCode,
    401,
    'the old one, shown again, ended the session'
  )
})
