import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { networksOf } from '../../../src/http/client-networks.js'
import { createLoginGuard } from '../../../src/limits/login-guard.js'
import { networkChecks } from '../../../src/limits/network-limits.js'
import { openWindows } from '../../../src/limits/windows.js'
import { openRedis } from '../../../src/redis/redis.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { systemClock } from '../../../src/time.js'
import { clockOf } from '../../support/clock.js'

const MINUTE = 60_000

/** A server whose windows stand still. A login without a body is refused (422) after its limits have counted it. */
async function buildLimitedApp (t: Test, env: Record<string, string>) {
  const time = { now: 0 }
  const server = await buildTestApp(t, env, { clock: { monotonicNow: () => time.now } })
  const ask = (remoteAddress: string, url = '/auth/login') =>
    server.inject({ method: 'POST', url, payload: {}, remoteAddress })
  /** How many of some requests pass, one from each address. */
  const pass = async (addresses: string[], url?: string) => {
    let passed = 0
    for (const address of addresses) if ((await ask(address, url)).statusCode === 422) passed++
    return passed
  }
  return { server, time, ask, pass }
}

const addresses = (count: number, of: (i: string, n: number) => string) =>
  Array.from({ length: count }, (_, n) => of(n.toString(16), n))

t.test('networks around a client', async (t) => {
  for (const [client, family, provider, site] of [
    ['203.0.113.7', 4, '203.0.0.0/16', '203.0.113.0/24'],
    ['2001:db8:1:2::/64', 6, '2001:db8::/32', '2001:db8:1::/48'],
    ['0:0:0:0::/64', 6, '0:0::/32', '0:0:0::/48']
  ] as const) {
    t.same(networksOf(client), { family, provider, site }, client)
  }
  for (const text of ['', 'unknown', 'not:an:address', '203.0.113.999']) t.equal(networksOf(text), undefined, text)
})

t.test('a /48 has eight times the login limit of a client, and its neighbour its own', async (t) => {
  const { time, ask, pass } = await buildLimitedApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '10' })
  t.equal(await pass(addresses(200, (i) => `2001:db8:1:${i}::1`)), 80)
  const refused = await ask('2001:db8:1:ffff::1')
  expectProblem(t, refused, 429, 'rate_limit_exceeded')
  t.match(refused.json(), { limit: 10, remaining: 0, retry_after: 60 })
  t.equal(await pass(addresses(80, (i) => `2001:db8:2:${i}::1`)), 80, 'the neighbour')
  time.now += MINUTE - 1
  t.equal((await ask('2001:db8:1:ffff::1')).statusCode, 429)
  time.now += 1
  t.equal(await pass(addresses(200, (i) => `2001:db8:1:${i}::1`)), 80, 'no client of it was blocked')
})

t.test('a /32 has 64 times the limit of a client; what its networks are refused, it gets back', async (t) => {
  const { pass } = await buildLimitedApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '1' })
  t.equal(await pass(addresses(100, () => '2001:db8:1:1::1')), 1, 'a client')
  t.equal(await pass(addresses(100, (i) => `2001:db8:1:${i}::1`)), 7, 'the rest of its /48')
  t.equal(await pass(addresses(100, (i) => `2001:db8:a${i}::1`)), 56, 'the rest of its /32')
  t.equal(await pass(addresses(100, (i) => `2001:db9:${i}::1`)), 64, 'another /32')
})

t.test('an IPv4 /24 has 32 times the limit of an address, wherever IPv6 embeds it', async (t) => {
  const { pass } = await buildLimitedApp(t, { RATE_LIMIT_LOGIN_PER_MINUTE: '2' })
  t.equal(await pass(addresses(100, (_, n) => `198.51.100.${n}`)), 64)
  t.equal(await pass(['::ffff:198.51.100.200', '64:ff9b::198.51.100.201', '198.51.100.202']), 0)
  t.equal(await pass(addresses(40, (_, n) => `198.51.101.${n}`)), 40, 'the next /24')
})

t.test('signup has it too; views and other calls go by the address only, and 0 turns all of it off', async (t) => {
  const { server, pass } = await buildLimitedApp(t, {
    RATE_LIMIT_SIGNUP_PER_MINUTE: '1',
    RATE_LIMIT_VIEW_PER_MINUTE: '1',
    RATE_LIMIT_API_PER_MINUTE: '1'
  })
  const crowd = addresses(100, (i) => `2001:db8:1:${i}::1`)
  t.equal(await pass(crowd, '/auth/signup'), 8)
  t.equal(await pass(addresses(40, (i) => `2001:db8:2:${i}::1`), '/auth/register'), 8)
  t.equal(await pass([...crowd, ...crowd]), 200, 'the login limit is off')
  for (const remoteAddress of crowd) {
    t.equal((await server.inject({ url: '/', remoteAddress })).statusCode, 200)
    const view = await server.inject({ method: 'POST', url: '/media/nope/view', remoteAddress })
    t.equal(view.statusCode, 401)
  }
})

/** Reserves failed logins; resolves with how many were allowed. */
async function guess (guard: ReturnType<typeof createLoginGuard>, email: string, times: number): Promise<number> {
  const all = await Promise.allSettled(Array.from({ length: times }, () => guard.reserve(email)))
  return all.filter(({ status }) => status === 'fulfilled').length
}

const withRedis = process.env.TEST_REDIS_URL !== undefined
for (const [twin, skip] of [['in process', false], ['with Redis', !withRedis && 'needs Redis']] as const) {
  t.test(`20,500 strangers leave guards and blocks as they were, ${twin}`, { skip }, async (t) => {
    const redis = twin === 'in process' ? undefined : await openRedis(process.env.TEST_REDIS_URL!)
    t.teardown(() => redis?.close())
    const windows = openWindows(clockOf(() => 0), redis, () => 1_800_000_000_000)
    const guard = createLoginGuard(windows.failedLogins, systemClock, 10)
    const [run, rule] = [randomUUID(), { limit: 10, windowMs: MINUTE, blockAfter: 50 }]
    t.equal(await guess(guard, `five-${run}`, 5), 5)
    t.equal(await guess(guard, `ten-${run}`, 11), 10)
    for (let i = 0; i < 51; i++) await windows.clients.hit(`login:${run}`, rule)

    const strangers = 20_500
    for (let start = 0; start < strangers; start += 500) {
      await Promise.all(Array.from({ length: 500 }, async (_, i) => {
        // A /32 has 64 times the limit of a client: each stranger has one of its own.
        const client = `${(start + i).toString(16)}:0:0:0::/64`
        const own = { key: `${run}:${client}`, rule }
        await windows.clients.hitWithin(networkChecks(run, client, rule), own)
      }))
      await Promise.all(Array.from({ length: 500 }, (_, i) => guard.reserve(`${run}-${start + i}`)))
    }
    t.match(await windows.clients.hit(`login:${run}`, rule), { allowed: false, blocked: true }, 'the client is blocked')
    t.equal(await guess(guard, `ten-${run}`, 10), 0, 'the account stays closed')
    t.equal(await guess(guard, `five-${run}`, 10), 5, 'bug: it had ten guesses again')
  })
}
