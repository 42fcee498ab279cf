import t from 'tap'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { signUp } from '../../support/client.js'
import { Threads } from '../../support/threads.js'

t.test('a login whose hash thread ends gets 503, counts as no wrong guess, and the next login works', async (t) => {
  const threads = new Threads(t)
  const server = await buildTestApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '3' })
  const [slow, other] = [await signUp(server), await signUp(server)]
  // Of such a cost that a comparison takes days.
  const endlessHash = `$2b$30$${'a'.repeat(53)}`
  const [stored] = await server.query<{ password_hash: string }>(
    `select password_hash from accounts where id = '${slow.id}'`
  )
  const setHash = (hash: string) =>
    server.query(`update accounts set password_hash = '${hash}' where id = '${slow.id}'`)
  let clients = 0
  const logIn = (email: string) =>
    server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email, password: 'secure_password123' },
      remoteAddress: `192.0.2.${++clients}`
    })
  await setHash(endlessHash)
  for (let round = 0; round < 4; round++) {
    const reply = logIn(slow.email)
    await eventually('a thread is busy with it', async () => {
      const { body } = await server.inject({ url: '/metrics' })
      return /^playgate_passwords_pending 1$/m.test(body) && threads.running > 0
    })
    await threads.endAll()
    expectProblem(t, await reply, 503, 'overloaded')
    t.equal((await logIn(other.email)).statusCode, 200)
  }
  await setHash(stored!.password_hash)
  t.equal((await logIn(slow.email)).statusCode, 200)
})
