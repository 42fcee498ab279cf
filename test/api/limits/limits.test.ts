import t, { type Test } from 'tap'
import { addressKey } from '../../../src/http/client-address.js'
import { withoutPorts } from '../../../src/http/forwarded-for.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { newLinkedMedia, signUp } from '../../support/client.js'

const MINUTE = 60_000
const password = 'secure_password123'
type Response = Awaited<ReturnType<TestApp['inject']>>

/** A server whose windows stand still with its clock. */
async function buildLimitedApp (t: Test, env: Record<string, string>): Promise<TestApp> {
  const start = { now: Date.now() }
  const built: { clock?: TestApp['clock'] } = {}
  const server = await buildTestApp(t, env, { clock: { monotonicNow: () => (built.clock ?? start).now } })
  built.clock = server.clock
  return server
}

const figures = ({ headers }: Response) =>
  ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'].map((name) => Number(headers[name]))

t.test('views', async (t) => {
  const server = await buildLimitedApp(t, {
    RATE_LIMIT_VIEW_PER_MINUTE: '10',
    TRUSTED_PROXIES: '10.0.0.1, 192.168.0.0/16'
  })
  const url = `/media/${await newLinkedMedia(server, await signUp(server))}/view`
  const view = (remoteAddress: string, forwarded?: string) =>
    server.inject({
      method: 'POST',
      url,
      remoteAddress,
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
    })
  const use = async (address: string, forwarded?: string) => {
    for (let index = 0; index < 10; index++) t.equal((await view(address, forwarded)).statusCode, 200)
  }

  t.test(
    'exactly 10 of 49 parallel ones pass, not the 50th a moment too early, and an eleventh exactly when the first ' +
      'has left the window',
    async (t) => {
      const started = server.clock.now
      const replies = await Promise.all(Array.from({ length: 49 }, async () => await view('203.0.113.1')))
      t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 10)
      t.equal(replies.filter(({ statusCode }) => statusCode === 429).length, 39)
      server.clock.now = started + MINUTE - 1
      t.equal((await view('203.0.113.1')).statusCode, 429)
      server.clock.now = started + MINUTE
      t.equal((await view('203.0.113.1')).statusCode, 200)
      const [total] = await server.query<{ total_views: number }>('select total_views from view_totals')
      t.equal(Number(total!.total_views), 11, 'a refused view is not counted')
    }
  )

  t.test('the reply says how much is left, and a refusal when to come back', async (t) => {
    const started = server.clock.now
    for (let left = 9; left >= 0; left--) {
      t.same(figures(await view('203.0.113.2')), [10, left, 60 - (9 - left)], `${left} left`)
      server.clock.advance(1000)
    }
    const reply = await view('203.0.113.2')
    expectProblem(t, reply, 429, 'rate_limit_exceeded')
    t.match(
      reply.json(),
      {
        detail: 'Rate limit exceeded: 10 per 1 minute',
        limit: 10,
        remaining: 0,
        retry_after: 50,
        reset_at: new Date(started + MINUTE).toISOString()
      },
      'bug: reset_at was by another clock'
    )
    t.equal(reply.headers['retry-after'], '50')
    t.same(figures(reply), [10, 0, 50])
  })

  t.test('a client past five times the limit is blocked for 15 minutes, only in that group', async (t) => {
    const replies: Response[] = []
    for (let index = 0; index < 51; index++) replies.push(await view('203.0.113.3'))
    expectProblem(t, replies[49]!, 429, 'rate_limit_exceeded')
    expectProblem(t, replies[50]!, 429, 'client_blocked')
    t.equal(replies[50]!.headers['retry-after'], '900')
    t.match(replies[50]!.json(), { limit: 10, remaining: 0, retry_after: 900 })
    t.equal((await server.inject({ url: '/', remoteAddress: '203.0.113.3' })).statusCode, 200)
    t.equal((await view('203.0.113.4')).statusCode, 200)
    server.clock.advance(15 * MINUTE - 1)
    expectProblem(t, await view('203.0.113.3'), 429, 'client_blocked')
    server.clock.advance(1)
    t.equal((await view('203.0.113.3')).statusCode, 200)
  })

  t.test('an IPv6 client is its /64, a mapped one its IPv4 address', async (t) => {
    await use('2001:db8:1:2::1')
    t.equal((await view('2001:db8:1:2:ffff:ffff:ffff:ffff')).statusCode, 429)
    t.equal((await view('2001:db8:1:3::1')).statusCode, 200)
    await use('203.0.113.5')
    t.equal((await view('::ffff:203.0.113.5')).statusCode, 429)
  })

  t.test('X-Forwarded-For is believed from a trusted proxy only, and only as far as proxies wrote it', async (t) => {
    await use('198.51.100.1', '203.0.113.10')
    t.equal((await view('198.51.100.1', '203.0.113.11')).statusCode, 429, 'a stranger cannot pass for another')
    await use('10.0.0.1', '203.0.113.12')
    t.equal((await view('10.0.0.1', '203.0.113.12')).statusCode, 429)
    t.equal((await view('10.0.0.1', '1.2.3.4, 203.0.113.12')).statusCode, 429, 'what the client wrote in front')
    t.equal((await view('10.0.0.1', '203.0.113.12, 192.168.7.7')).statusCode, 429, 'a chain of proxies')
    const other = await view('10.0.0.1', '203.0.113.13')
    t.match(other, { statusCode: 200 })
    t.equal(other.json<{ viewer_ip: string }>().viewer_ip, '203.0.113.13')
    t.equal((await view('203.0.113.12')).statusCode, 429, 'the same client without the proxy')
  })
})

t.test('failed logins', async (t) => {
  const server = await buildLimitedApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '10' })
  const { email } = await signUp(server)
  let address = 0
  const logIn = (secret: string, name = email) =>
    server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: name, password: secret },
      remoteAddress: `198.51.${(++address >> 8) + 100}.${address % 256}`
    })

  t.test('right ones do not count', async (t) => {
    for (let index = 0; index < 25; index++) t.equal((await logIn(password)).statusCode, 200)
  })

  t.test(
    'ten from many addresses close the account to everybody until the window moves on, and no longer',
    async (t) => {
      const started = server.clock.now
      for (let index = 0; index < 10; index++) {
        expectProblem(
          t,
          await logIn('a wrong one', index % 2 ? email : email.toUpperCase()),
          401,
          'invalid_credentials'
        )
        server.clock.advance(1000)
      }
      const refused = await logIn(password)
      expectProblem(t, refused, 429, 'rate_limit_exceeded')
      t.match(refused.json(), {
        detail: 'Rate limit exceeded: 10 per 1 minute',
        limit: 10,
        remaining: 0,
        retry_after: 50
      })
      t.equal(refused.headers['retry-after'], '50')
      for (let index = 0; index < 100; index++) t.equal((await logIn(password)).statusCode, 429)
      server.clock.now = started + MINUTE - 1
      t.equal((await logIn(password)).statusCode, 429)
      server.clock.now = started + MINUTE
      t.equal((await logIn(password)).statusCode, 200, 'never a lock')
      t.equal((await logIn(password)).statusCode, 200)
    }
  )

  t.test('parallel guesses do not slip by', async (t) => {
    server.clock.advance(2 * MINUTE)
    const replies = await Promise.all(Array.from({ length: 30 }, async () => await logIn('a wrong one')))
    t.same(
      [401, 429].map((status) => replies.filter(({ statusCode }) => statusCode === status).length),
      [10, 20]
    )
  })

  t.test('an email nobody has is limited just the same', async (t) => {
    for (let index = 0; index < 10; index++) t.equal((await logIn('a wrong one', 'nobody@example.org')).statusCode, 401)
    t.equal((await logIn('a wrong one', 'nobody@example.org')).statusCode, 429)
  })
})

t.test('each group has its own limit, 0 turns it off, and the rest share one', async (t) => {
  const server = await buildLimitedApp(t, {
    RATE_LIMIT_LOGIN_PER_MINUTE: '2',
    RATE_LIMIT_SIGNUP_PER_MINUTE: '3',
    RATE_LIMIT_API_PER_MINUTE: '4'
  })
  const person = await signUp(server)
  const id = await newLinkedMedia(server, person)
  const statuses = async (times: number, method: 'GET' | 'POST', url: string) => {
    const replies: Response[] = []
    for (let index = 0; index < times; index++) {
      replies.push(
        await server.inject({ method, url, payload: method === 'POST' ? {} : undefined, remoteAddress: '203.0.113.20' })
      )
    }
    return replies.map(({ statusCode }) => statusCode)
  }
  t.same(await statuses(3, 'POST', '/auth/login'), [422, 422, 429])
  t.same(await statuses(2, 'POST', '/auth/signup'), [422, 422])
  t.same(await statuses(2, 'POST', '/api/v1/auth/register/'), [422, 429], 'signup and register share, under any alias')
  t.same(await statuses(3, 'GET', `/media/${id}`), [200, 200, 200])
  t.same(await statuses(2, 'GET', '/nope'), [404, 429], 'an unknown address counts too')
  t.same(await statuses(1, 'GET', '/auth/me'), [429], 'before any look at the token')
  t.same(await statuses(20, 'POST', `/media/${id}/view`), Array(20).fill(200), '0 is off')
  t.same(await statuses(20, 'GET', `/media/stream/${id}`), Array(20).fill(401), 'media bytes are unlimited')
  for (const url of ['/health', '/livez', '/readyz']) t.same(await statuses(6, 'GET', url), Array(6).fill(200), url)
})

t.test('what counts as one client', async (t) => {
  for (const [address, key] of [
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::ffff:cb00:7107', '203.0.113.7'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:DB8:0:0:1:2:3:4', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
    ['not:an:address', 'not:an:address'],
    ['', ''],
    ['64:ff9b::cb00:7107', '203.0.113.7'],
    ['64:ff9b::203.0.113.7', '203.0.113.7'],
    ['64:ff9b:1:fffe::cb00:7107', '203.0.113.7'],
    ['::ffff:0:203.0.113.7', '203.0.113.7'],
    ['2002:cb00:7107::1', '203.0.113.7'],
    ['2002:cb00:7107:5::9', '203.0.113.7'],
    ['2001:0:4136:e378:8000:63bf:34ff:8ef8', '203.0.113.7'],
    ['2001:0:4136:e378:8000:63bf:3fff:fdd2', '192.0.2.45'],
    ['64:ff9b:2::1', '64:ff9b:2:0::/64'],
    ['2003::1', '2003:0:0:0::/64']
  ] as const) {
    t.equal(addressKey(address), key, address)
  }
})

t.test('X-Forwarded-For is read with the ports and brackets that proxies write', async (t) => {
  for (const [header, read] of [
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:40001', '203.0.113.7'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['2001:db8::1:443', '2001:db8::1:443'],
    [' 203.0.113.7:1 ,10.0.0.2:65535', '203.0.113.7, 10.0.0.2'],
    ['[::ffff:203.0.113.7]:80', '::ffff:203.0.113.7'],
    ['', ''],
    [',', ', '],
    ['unknown', 'unknown'],
    ['203.0.113.7:', '203.0.113.7:'],
    ['203.0.113.7:999999', '203.0.113.7:999999'],
    ['203.0.113.999:80', '203.0.113.999:80'],
    ['[203.0.113.7]:80', '[203.0.113.7]:80'],
    ['[2001:db8::1', '[2001:db8::1'],
    ['[]:80', '[]:80'],
    ['host:80', 'host:80'],
    ['203.0.113.7:80:90', '203.0.113.7:80:90']
  ] as const) {
    t.equal(withoutPorts(header), read, header)
  }
})

t.test('a client behind a proxy that writes ports is one client', async (t) => {
  const server = await buildLimitedApp(t, { RATE_LIMIT_VIEW_PER_MINUTE: '2', TRUSTED_PROXIES: '10.0.0.1, 10.0.0.2' })
  const url = `/media/${await newLinkedMedia(server, await signUp(server))}/view`
  const view = async (forwarded: string) => {
    const reply = await server.inject({
      method: 'POST',
      url,
      remoteAddress: '10.0.0.1',
      headers: { 'x-forwarded-for': forwarded }
    })
    return { status: reply.statusCode, address: reply.json<{ viewer_ip?: string }>().viewer_ip }
  }
  t.same(await view('203.0.113.7:40001'), { status: 200, address: '203.0.113.7' })
  t.same(
    await view('198.51.100.9, 203.0.113.7:40002, 10.0.0.2:9999'),
    { status: 200, address: '203.0.113.7' },
    'a trusted proxy is trusted with its port'
  )
  t.equal((await view('[64:ff9b::cb00:7107]:443')).status, 429, 'bug: each connection had a window of its own')
  t.same(await view('[2001:db8::1]:443'), { status: 200, address: '2001:db8::1' })
})

t.test('a clock that is set back an hour refuses nobody longer than the window', async (t) => {
  const time = { wall: Date.now(), monotonic: 0 }
  const server = await buildTestApp(
    t,
    { RATE_LIMIT_VIEW_PER_MINUTE: '2', ACCESS_TOKEN_EXPIRE_MINUTES: '1000000' },
    {
      clock: { now: () => time.wall, monotonicNow: () => time.monotonic }
    }
  )
  const url = `/media/${await newLinkedMedia(server, await signUp(server))}/view`
  const view = async () => (await server.inject({ method: 'POST', url, remoteAddress: '203.0.113.1' })).statusCode
  t.same([await view(), await view(), await view()], [200, 200, 429])
  time.wall -= 60 * MINUTE
  time.monotonic += MINUTE - 1
  t.equal(await view(), 429, 'a millisecond before the window ends')
  time.monotonic += 1
  t.equal(await view(), 200, 'bug: it was refused for an hour')
})
