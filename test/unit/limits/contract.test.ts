import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { FailoverSlidingWindow, RedisSlidingWindow } from '../../../src/limits/redis-sliding-window.js'
import { BLOCK_MS, LocalSlidingWindow, type SlidingWindow, type Verdict } from '../../../src/limits/sliding-window.js'
import { openRedis } from '../../../src/redis/redis.js'
import { systemClock } from '../../../src/time.js'
import { clockOf } from '../../support/clock.js'

// One suite for every implementation: in process, in Redis, and Redis with its twin in process.

const MINUTE = 60_000
const rule = { limit: 10, windowMs: MINUTE, blockAfter: 50 }
const clock = { now: 1_800_000_000_000 }
const now = () => clock.now

const implementations: Record<string, (t: Test) => Promise<SlidingWindow>> = {
  'in process': async () => new LocalSlidingWindow(clockOf(now)),
  'in Redis': async (t) => {
    const shared = new RedisSlidingWindow(await testRedis(t), now)
    return {
      hit: async (...args) => (await shared.hit(...args))!,
      hitWithin: async (...args) => (await shared.hitWithin(...args))!,
      undo: (key) => shared.undo(key)
    }
  },
  'in Redis with its twin': async (t) =>
    new FailoverSlidingWindow(new LocalSlidingWindow(clockOf(now)), new RedisSlidingWindow(await testRedis(t), now))
}

async function testRedis (t: Test) {
  const redis = await openRedis(process.env.TEST_REDIS_URL!)
  t.teardown(() => redis.close())
  if (!redis.up) throw new Error('Redis does not answer')
  return redis
}

for (const [name, open] of Object.entries(implementations)) {
  t.test(
    `a sliding window ${name}`,
    {
      skip:
        name !== 'in process' &&
        process.env.TEST_REDIS_URL === undefined &&
        'needs Redis: install redis-server, or set TEST_REDIS_URL'
    },
    async (t) => {
      const windows = await open(t)
      const key = () => `test:${randomUUID()}`
      const times = async (count: number, key: string): Promise<Verdict[]> =>
        await Promise.all(Array.from({ length: count }, () => windows.hit(key, rule)))

      await t.test('lets exactly its limit through, however many come at once', async (t) => {
        const verdicts = await times(50, key())
        t.equal(verdicts.filter(({ allowed }) => allowed).length, 10)
        t.notOk(verdicts.some(({ blocked }) => blocked))
      })

      await t.test('has room again exactly when the first has left', async (t) => {
        const one = key()
        await windows.hit(one, rule)
        clock.now += 1000
        await times(9, one)
        const refused = await windows.hit(one, rule)
        t.match(refused, { allowed: false, count: 10, retryAfterMs: MINUTE - 1000, resetMs: MINUTE - 1000 })
        clock.now += MINUTE - 1001
        t.equal((await windows.hit(one, rule)).allowed, false, 'a millisecond before')
        clock.now += 1
        t.equal((await windows.hit(one, rule)).allowed, true, 'at the moment itself')
        t.equal((await windows.hit(one, rule)).allowed, false, 'only one: the refused ones never entered')
      })

      await t.test('blocks for fifteen minutes who goes on past five times the limit', async (t) => {
        const one = key()
        const before = await times(50, one)
        t.notOk(before.at(-1)!.blocked)
        t.match(await windows.hit(one, rule), { allowed: false, blocked: true, retryAfterMs: BLOCK_MS })
        clock.now += BLOCK_MS - 1
        t.match(await windows.hit(one, rule), { allowed: false, blocked: true, retryAfterMs: 1 })
        clock.now += 1
        t.match(await windows.hit(one, rule), { allowed: true, blocked: false })
      })

      await t.test('forgets refused tries with the window', async (t) => {
        const one = key()
        await times(45, one)
        clock.now += MINUTE
        const again = await times(45, one)
        t.equal(again.filter(({ allowed }) => allowed).length, 10)
        t.notOk(again.some(({ blocked }) => blocked))
      })

      await t.test('gives a place back', async (t) => {
        const one = key()
        await times(10, one)
        await windows.undo(one)
        t.equal((await windows.hit(one, rule)).allowed, true)
        t.equal((await windows.hit(one, rule)).allowed, false)
      })

      await t.test('gives each of many requests at once the answer of its own key and rule', async (t) => {
        const keys = [key(), key(), key()]
        const verdicts = await Promise.all(
          Array.from({ length: 330 }, (_, i) =>
            windows.hit(keys[i % 3]!, { ...rule, limit: 50 * (i % 3), blockAfter: 0 })
          )
        )
        keys.forEach((_, which) => {
          const own = verdicts.filter((_, i) => i % 3 === which)
          t.same(
            own.map(({ allowed }) => allowed),
            own.map((_, i) => i < 50 * which)
          )
          t.same(
            own.map(({ count }) => count),
            own.map((_, i) => Math.min(i + 1, 50 * which))
          )
        })
      })

      await t.test('a request in several windows is allowed while all of them allow it', async (t) => {
        const network = { key: key(), rule: { ...rule, limit: 15, blockAfter: 0 } }
        const own = () => ({ key: key(), rule })
        const [one, other] = [own(), own()]
        const verdicts = await Promise.all(
          Array.from({ length: 30 }, (_, i) => windows.hitWithin([network], i < 15 ? one : other))
        )
        t.equal(verdicts.slice(0, 15).filter(({ allowed }) => allowed).length, 10, 'as many as the client may')
        t.equal(verdicts.slice(15).filter(({ allowed }) => allowed).length, 5, 'what the network has left')
        t.match(verdicts[0], { count: 1 }, 'an allowed request is told of its own window')
        t.match(await windows.hitWithin([network], own()), { allowed: false, blocked: false, retryAfterMs: MINUTE })
        clock.now += MINUTE
        t.match(await windows.hitWithin([network], other), { allowed: true, count: 1 })
      })

      await t.test('a refused request leaves the wider windows that it entered', async (t) => {
        const wide = (limit: number) => ({ key: key(), rule: { ...rule, limit, blockAfter: 0 } })
        const [provider, site, client] = [wide(12), wide(11), { key: key(), rule }]
        await Promise.all(Array.from({ length: 40 }, () => windows.hitWithin([provider, site], client)))
        const neighbour = { key: key(), rule }
        t.equal((await windows.hitWithin([provider, site], neighbour)).allowed, true, 'the client took 10 of 11')
        t.equal((await windows.hitWithin([provider, site], neighbour)).allowed, false, 'the site is full')
        t.equal((await windows.hit(neighbour.key, rule)).count, 2, 'the neighbour keeps what it did not use')
        t.equal((await windows.hit(provider.key, provider.rule)).count, 12, 'the provider counts what was allowed')
      })

      await t.test('a window that refuses a request for all in it blocks nobody', async (t) => {
        const network = { key: key(), rule: { ...rule, limit: 1, blockAfter: 0 } }
        await Promise.all(Array.from({ length: 100 }, () => windows.hitWithin([network], { key: key(), rule })))
        clock.now += MINUTE
        t.match(await windows.hitWithin([network], { key: key(), rule }), { allowed: true, blocked: false })
      })

      await t.test('keeps keys apart', async (t) => {
        await times(20, key())
        t.equal((await windows.hit(key(), rule)).allowed, true)
      })
    }
  )
}

t.test(
  'a clock of Redis that is set back an hour refuses nobody for an hour',
  { skip: process.env.TEST_REDIS_URL === undefined && 'needs Redis: install redis-server, or set TEST_REDIS_URL' },
  async (t) => {
    const time = { now: 1_800_000_000_000 }
    const windows = new RedisSlidingWindow(await testRedis(t), () => time.now)
    for (const tries of [11, 60]) {
      const key = `test:${randomUUID()}`
      const verdicts = await Promise.all(Array.from({ length: tries }, () => windows.hit(key, rule)))
      t.match(verdicts.at(-1), { allowed: false, blocked: tries === 60 })
      time.now -= 60 * MINUTE
      t.match(await windows.hit(key, rule), { allowed: true, blocked: false, count: 1 })
    }
  }
)

t.test(
  'several processes on one Redis share one window exactly',
  { skip: process.env.TEST_REDIS_URL === undefined && 'needs Redis: install redis-server, or set TEST_REDIS_URL' },
  async (t) => {
    const processes = await Promise.all(
      Array.from(
        { length: 4 },
        async () =>
          new FailoverSlidingWindow(new LocalSlidingWindow(systemClock), new RedisSlidingWindow(await testRedis(t)))
      )
    )
    const key = `test:${randomUUID()}`
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, (_, i) => processes[i % 4]!.hit(key, { ...rule, blockAfter: 0 }))
    )
    t.equal(verdicts.filter(({ allowed }) => allowed).length, 10)
  }
)
