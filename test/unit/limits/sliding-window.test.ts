import fc from 'fast-check'
import t from 'tap'
import { BLOCK_MS, LocalSlidingWindow, type WindowRule } from '../../../src/limits/sliding-window.js'
import { clockOf } from '../../support/clock.js'

const rule: WindowRule = { limit: 3, windowMs: 1000, blockAfter: 0 }

/** A window and the hands of its clock. */
function setUp (maxKeys?: number) {
  const clock = { now: 1_000_000 }
  const windows = new LocalSlidingWindow(clockOf(() => clock.now), maxKeys)
  return {
    clock,
    windows,
    hit: (key = 'a', more: Partial<WindowRule> = {}) => windows.hitNow(key, { ...rule, ...more })
  }
}

t.test('the limit is let through, and one more exactly when the first has left', async (t) => {
  const { clock, hit } = setUp()
  for (const [at, allowed, count, retryAfterMs] of [
    [0, true, 1, 0],
    [100, true, 2, 0],
    [200, true, 3, 800],
    [201, false, 3, 799],
    [999, false, 3, 1],
    [1000, true, 3, 100],
    [1000, false, 3, 100],
    [1099, false, 3, 1],
    [1100, true, 3, 100],
    [1199, false, 3, 1],
    [1200, true, 3, 800],
    [9000, true, 1, 0]
  ] as const) {
    clock.now = 1_000_000 + at
    t.match(hit(), { allowed, blocked: false, count, retryAfterMs }, `at ${at}`)
  }
})

t.test('a refused request does not enter the window', async (t) => {
  const { clock, hit } = setUp()
  for (let index = 0; index < 100; index++) hit()
  clock.now += 1000
  t.same(
    [hit(), hit(), hit(), hit()].map(({ allowed }) => allowed),
    [true, true, true, false]
  )
})

t.test('keys do not share a window', async (t) => {
  const { hit } = setUp()
  for (let index = 0; index < 4; index++) hit('a')
  t.equal(hit('a').allowed, false)
  t.equal(hit('b').allowed, true)
})

t.test('past five times the limit in one window a key is blocked for fifteen minutes, and then free', async (t) => {
  const { clock, hit } = setUp()
  const more = { blockAfter: 15 }
  const verdicts = Array.from({ length: 16 }, () => hit('a', more))
  t.equal(verdicts.filter(({ allowed }) => allowed).length, 3)
  t.same(
    verdicts.map(({ blocked }) => blocked),
    [...Array<boolean>(15).fill(false), true],
    'the sixteenth of a limit of three'
  )
  t.equal(verdicts[15]!.retryAfterMs, BLOCK_MS)
  t.equal(hit('b', more).allowed, true, 'nobody else is')
  clock.now += BLOCK_MS - 1
  t.match(hit('a', more), { allowed: false, blocked: true, retryAfterMs: 1 })
  clock.now += 1
  t.match(hit('a', more), { allowed: true, blocked: false, count: 1 })
})

t.test('a client that is refused now and then is never blocked', async (t) => {
  const { clock, hit } = setUp()
  for (let index = 0; index < 200; index++) {
    clock.now += 100
    t.equal(hit('a', { blockAfter: 15 }).blocked, false)
  }
})

t.test('undo takes back one allowed request, and is harmless where there is none', async (t) => {
  const { windows, hit } = setUp()
  for (let index = 0; index < 3; index++) hit()
  t.equal(hit().allowed, false)
  await windows.undo('a')
  t.equal(hit().allowed, true)
  t.equal(hit().allowed, false)
  for (let index = 0; index < 9; index++) await windows.undo('a')
  await windows.undo('nobody')
  t.equal(hit().count, 1)
})

t.test('memory is bounded however many keys come and however often they try', async (t) => {
  const { windows, hit } = setUp(100)
  for (let index = 0; index < 10_000; index++) hit(`key ${index}`)
  t.equal(windows.size, 100)
  for (let index = 0; index < 10_000; index++) t.ok(hit('a').count <= 3)
  t.ok(windows.size <= 100)
})

t.test('keys with one request push out neither a limit that is reached nor a block nor a count', async (t) => {
  const { windows, hit } = setUp(100)
  for (let index = 0; index < 3; index++) hit('at its limit')
  for (let index = 0; index < 20; index++) hit('blocked', { blockAfter: 15 })
  for (let index = 0; index < 2; index++) hit('two of three')
  for (let index = 0; index < 10_000; index++) hit(`stranger ${index}`)
  t.match(hit('at its limit'), { allowed: false })
  t.match(hit('blocked', { blockAfter: 15 }), { allowed: false, blocked: true })
  t.match(hit('two of three'), { allowed: true, count: 3 }, 'bug: it had its whole limit again')
  t.ok(windows.size <= 200)
})

t.test('a full segment of limits keeps them, and has room again when they have ended', async (t) => {
  const { clock, windows, hit } = setUp(10)
  const limited = (key: string) => { for (let index = 0; index < 3; index++) hit(key) }
  for (let index = 0; index < 40; index++) limited(`early ${index}`)
  for (let index = 0; index < 100; index++) hit(`stranger ${index}`)
  t.same([0, 1, 2, 3, 4].map((index) => hit(`early ${index}`).allowed), Array(5).fill(false), 'those that came first')
  t.ok(windows.size <= 20, 'bounded')
  clock.now += 1000
  limited('late')
  for (let index = 0; index < 100; index++) hit(`stranger ${index}`)
  t.equal(hit('late').allowed, false)
})

t.test('any sequence is judged as a naive log of all allowed requests judges it', async (t) => {
  const step = fc.record({ wait: fc.nat({ max: 700 }), key: fc.constantFrom('a', 'b'), undo: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), async (steps, limit) => {
      const { clock, windows, hit } = setUp()
      const log: Array<{ key: string; at: number }> = []
      for (const { wait, key, undo } of steps) {
        clock.now += wait
        const inWindow = log.filter((entry) => entry.key === key && entry.at > clock.now - 1000)
        const verdict = hit(key, { limit })
        const isBelow = inWindow.length < limit
        if (verdict.allowed !== isBelow) return false
        if (verdict.allowed) log.push({ key, at: clock.now })
        else if (verdict.retryAfterMs !== inWindow[0]!.at + 1000 - clock.now) return false
        if (verdict.count !== inWindow.length + Number(verdict.allowed)) return false
        if (undo && verdict.allowed) {
          await windows.undo(key)
          log.pop()
        }
      }
      return true
    }),
    { numRuns: 300 }
  )
  t.pass('300 sequences')
})
