import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { testEnvironment } from '../../support/test-app.js'
import { call, eventually, load, startServer, type ServerProcess } from '../../support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../support/client.js'
import { startRedis } from '../../support/services.js'

// Redis is lost in every way there is, under load: no request fails for it.

const skip =
  spawnSync('redis-server', ['--version']).status !== 0 &&
  'needs the redis-server program: apt-get install redis-server'
const LIMIT = 10
const FROZEN_MS = process.env.TEST_LONG ? 10_000 : 3000

interface Setting {
  server: ServerProcess
  redis: Awaited<ReturnType<typeof startRedis>>
  token: string
  media: string
}

async function setting (t: Test): Promise<Setting> {
  const redis = await startRedis()
  const { env } = await testEnvironment(t, {
    REDIS_URL: redis.url,
    RATE_LIMIT_VIEW_PER_MINUTE: String(LIMIT),
    RATE_LIMIT_LOGIN_PER_MINUTE: '10',
    TRUSTED_PROXIES: '127.0.0.1'
  })
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  return { server, redis, token, media: await newLinkedMedia(overHttp(server.origin), callerOf(token)) }
}

const health = async ({ origin }: ServerProcess) => (await call(origin, '/health')).body

let clients = 0
/** Views from one fresh address; answers how many of `times` passed. */
async function passing (
  { server, media }: Setting,
  times: number,
  address = `203.0.113.${++clients}`
): Promise<number> {
  const replies = await Promise.all(
    Array.from({ length: times }, () =>
      call(server.origin, `/media/${media}/view`, { method: 'POST', headers: { 'x-forwarded-for': address } })
    )
  )
  return replies.filter(({ status }) => status === 200).length
}

/** A mixed load of about 100 requests a second while `disturb` runs; answers what it saw. */
async function underLoad (
  setting: Setting,
  disturb: () => Promise<void>
): Promise<{ fivexx: number; rounds: number; p99: number }> {
  const { server, token, media } = setting
  let fivexx = 0
  let running = true
  const times: number[] = []
  const requests = load(4, 60_000, async (round) => {
    if (!running) return
    const start = performance.now()
    const reply =
      round % 3 === 0
        ? await call(server.origin, `/media/${media}/view`, {
          method: 'POST',
          headers: { 'x-forwarded-for': `198.51.100.${round % 250}` }
        })
        : await call(server.origin, round % 3 === 1 ? `/media/${media}/analytics` : `/media/${media}`, { token })
    times.push(performance.now() - start)
    if (reply.status === 0 || reply.status >= 500) fivexx++
    await pause(30)
    if (!running) throw new Error('over')
  }).catch((error: Error) => {
    if (error.message !== 'over') throw error
  })
  await disturb()
  running = false
  await requests
  times.sort((one, other) => one - other)
  return { fivexx, rounds: times.length, p99: times[Math.floor(times.length * 0.99)]! }
}

const pause = (milliseconds: number) =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })

t.test('a server without its Redis', { skip }, async (t) => {
  const one = await setting(t)
  t.teardown(() => one.redis.stop())
  t.match(await health(one.server), { status: 'ok', redis: 'up' })

  await t.test('killed: nothing fails, limits go on from the recent past, health says degraded', async (t) => {
    const address = '192.0.2.1'
    t.equal(await passing(one, 6, address), 6)
    const { fivexx, rounds, p99 } = await underLoad(one, async () => {
      await one.redis.stop()
      await eventually('health says so', async () => (await health(one.server)).redis === 'down')
      t.equal(await passing(one, 30, address), 4, 'the six from before are remembered')
      t.equal(await passing(one, 30), LIMIT)
      await pause(1000)
    })
    t.equal(fivexx, 0, `of ${rounds} requests; p99 ${Math.round(p99)} ms`)
    t.match(await health(one.server), { status: 'degraded', redis: 'down', database: 'up' })
    t.equal((await call(one.server.origin, '/health')).status, 200)
    t.match((await call(one.server.origin, '/metrics')).body.text, /playgate_redis_up 0/)
  })

  await t.test('restarted: it is used again within three seconds', async (t) => {
    one.redis = await startRedis(one.redis.port)
    const took = await eventually('health says so', async () => (await health(one.server)).redis === 'up')
    t.ok(took < 3000, `${Math.round(took)} ms`)
  })

  await t.test('frozen: nothing fails, limits hold, and it is back by itself', async (t) => {
    const { fivexx, rounds, p99 } = await underLoad(one, async () => {
      process.kill(one.redis.pid, 'SIGSTOP')
      const address = '192.0.2.2'
      const first = await passing(one, 30, address)
      await pause(FROZEN_MS)
      t.ok(first + (await passing(one, 30, address)) <= 2 * LIMIT)
      t.match(await health(one.server), { status: 'degraded' })
      process.kill(one.redis.pid, 'SIGCONT')
      const took = await eventually('health says so', async () => (await health(one.server)).redis === 'up')
      t.ok(took < 3000, `${Math.round(took)} ms`)
    })
    t.equal(fivexx, 0, `of ${rounds} requests; p99 ${Math.round(p99)} ms`)
  })

  await t.test(
    'full: it counts as gone until it takes writes again (bug: a ping said otherwise, twice a second)',
    async (t) => {
      const config = (maxmemory: string) =>
        spawnSync('redis-cli', ['-p', String(one.redis.port), 'config', 'set', 'maxmemory', maxmemory])
      config('1')
      await eventually('health says so', async () => (await health(one.server)).redis === 'down')
      for (let look = 0; look < 20; look++) {
        t.equal((await health(one.server)).redis, 'down')
        await pause(100)
      }
      t.equal(await passing(one, 30), LIMIT, 'limits hold')
      config('0')
      t.ok((await eventually('it is back', async () => (await health(one.server)).redis === 'up')) < 3000)
    }
  )

  await t.test('flushed: the counts of the process still hold, and no figure is stale', async (t) => {
    const address = '192.0.2.3'
    t.equal(await passing(one, LIMIT, address), LIMIT)
    const { body: before } = await call(one.server.origin, `/media/${one.media}/analytics`, { token: one.token })
    spawnSync('redis-cli', ['-p', String(one.redis.port), 'flushall'])
    t.equal(await passing(one, LIMIT, address), 0)
    t.equal(await passing(one, 1), 1)
    const { body: after } = await call(one.server.origin, `/media/${one.media}/analytics`, { token: one.token })
    t.equal(after.total_views, (before.total_views as number) + 1)
  })

  await t.test('a login limit never fails open', async (t) => {
    process.kill(one.redis.pid, 'SIGSTOP')
    await newToken(one.server.origin, 'victim@example.org')
    const statuses = []
    for (let i = 0; i < 14; i++) {
      const { status } = await call(one.server.origin, '/auth/login', {
        json: { email: 'victim@example.org', password: 'wrong' },
        headers: { 'x-forwarded-for': `198.18.0.${i}` }
      })
      statuses.push(status)
    }
    t.same(statuses, [...Array<number>(10).fill(401), ...Array<number>(4).fill(429)])
  })
})

t.test('a server starts while its Redis is not there', { skip }, async (t) => {
  const { env } = await testEnvironment(t, { REDIS_URL: 'redis://127.0.0.1:1' })
  const server = await startServer(t, env)
  t.match(await health(server), { status: 'degraded', redis: 'down' })
})
