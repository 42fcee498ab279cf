import t from 'tap'
import { ApiError } from '../../../src/errors.js'
import { problems } from '../../../src/schemas/problem-codes.js'
import { ConcurrencyLimiter, type ConcurrencyLimits, type SlotOwner } from '../../../src/limits/concurrency-limiter.js'

const KiB = 1024
const SECOND = 1000

/** A limiter on a clock that stands still until it is moved. */
function fakeLimiter (limits: Partial<ConcurrencyLimits>) {
  const clock = { now: 0 }
  const clocks = { now: () => Date.UTC(2026, 0, 1) + clock.now, monotonicNow: () => clock.now }
  const all = { perAccount: 0, perAddress: 0, perLink: 0, total: 0, ...limits }
  return { clock, limiter: new ConcurrencyLimiter(all, 'too_many_streams', clocks) }
}

/** A stream that moves as a test says. It has bytes for its client unless `isPending` is false. */
class FakeStream {
  isPending = true
  takenBytes = 0
  ended = 0
  progress () {
    return { takenBytes: this.takenBytes, isPending: this.isPending }
  }

  end () {
    this.ended++
  }
}

const owner = (more: Partial<SlotOwner> = {}): SlotOwner => ({
  accountId: 'account',
  address: '192.0.2.1',
  linkId: 'link',
  ...more
})

/** The code of the refusal, or undefined. */
function refusalOf (work: () => unknown): string | undefined {
  try {
    work()
  } catch (error) {
    return (error as ApiError).code
  }
}

t.test('each limit counts by itself', async (t) => {
  const cases: Array<[limits: Partial<ConcurrencyLimits>, others: Partial<SlotOwner>, refusal: string]> = [
    [{ perLink: 2 }, { linkId: 'other' }, 'too_many_streams'],
    [{ perLink: 2 }, { linkId: undefined }, 'too_many_streams'],
    [{ perAddress: 2 }, { address: '192.0.2.2' }, 'too_many_streams'],
    [{ perAccount: 2 }, { accountId: 'other' }, 'too_many_streams'],
    [{ perAccount: 2 }, { accountId: null }, 'too_many_streams']
  ]
  for (const [limits, others, refusal] of cases) {
    const { limiter } = fakeLimiter(limits)
    const slots = [limiter.acquire(owner()), limiter.acquire(owner())]
    t.equal(
      refusalOf(() => limiter.acquire(owner())),
      refusal,
      JSON.stringify(limits)
    )
    t.equal(limiter.taken, 2, 'a refused client takes nothing')
    slots.push(limiter.acquire(owner(others)))
    slots[0]!.release()
    slots.push(limiter.acquire(owner()))
    for (const slot of slots) slot.release()
    t.equal(limiter.taken, 0)
  }
  const { limiter } = fakeLimiter({ total: 1 })
  limiter.acquire(owner())
  t.equal(
    refusalOf(() => limiter.acquire({ accountId: null, address: '192.0.2.9' })),
    'overloaded'
  )
})

t.test('a refusal says when to try again, and neither link nor account nor address', async (t) => {
  const { limiter } = fakeLimiter({ perLink: 1 })
  limiter.acquire(owner())
  try {
    limiter.acquire(owner())
    t.fail('it was not refused')
  } catch (error) {
    const { options, message } = error as ApiError
    const extra = { limit: 1, remaining: 0, reset_at: '2026-01-01T00:00:05.000Z', retry_after: 5 }
    t.same(options, { extra, headers: { 'retry-after': '5' } })
    t.equal(message, problems.too_many_streams.detail, 'the sentence of the registry')
  }
})

t.test('a slot is freed once, however often it is released', async (t) => {
  const { limiter } = fakeLimiter({ perLink: 1 })
  const first = limiter.acquire(owner())
  first.release()
  limiter.acquire(owner())
  first.release()
  first.touch()
  t.equal(limiter.taken, 1)
  t.equal(
    refusalOf(() => limiter.acquire(owner())),
    'too_many_streams'
  )
})

t.test('under every limit a stalled transfer makes room, and a moving one does not', async (t) => {
  const limits: Array<Partial<ConcurrencyLimits>> = [{ perLink: 2 }, { perAddress: 2 }, { perAccount: 2 }, { total: 2 }]
  for (const limit of limits) {
    const { clock, limiter } = fakeLimiter(limit)
    const [stalled, moving, newcomer] = [new FakeStream(), new FakeStream(), new FakeStream()]
    for (const stream of [stalled, moving]) limiter.acquire(owner(), stream)
    clock.now = 29 * SECOND
    t.ok(
      refusalOf(() => limiter.acquire(owner(), newcomer)),
      `${JSON.stringify(limit)}: none is stalled yet`
    )
    clock.now = 30 * SECOND
    stalled.takenBytes = 64 * KiB - 1
    moving.takenBytes = 64 * KiB
    limiter.acquire(owner(), newcomer)
    t.same([stalled.ended, moving.ended, newcomer.ended], [1, 0, 0])
    t.equal(limiter.taken, 2)
    t.ok(
      refusalOf(() => limiter.acquire(owner())),
      'those that move keep their slots'
    )
    t.equal(moving.ended, 0)
  }
})

t.test('the transfer that is stalled for the longest time is ended first', async (t) => {
  const { clock, limiter } = fakeLimiter({ perAddress: 3 })
  const streams = [new FakeStream(), new FakeStream(), new FakeStream()]
  const slots = streams.map((stream) => limiter.acquire(owner(), stream))
  for (const [index, seconds] of [
    [1, 5],
    [2, 10],
    [0, 15]
  ] as const) {
    clock.now = seconds * SECOND
    slots[index]!.touch()
  }
  clock.now = 60 * SECOND
  const ended = () => streams.map((stream) => stream.ended)
  for (const expected of [
    [0, 1, 0],
    [0, 1, 1],
    [1, 1, 1]
  ]) {
    limiter.acquire(owner(), new FakeStream())
    t.same(ended(), expected)
  }
})

t.test('progress counts from the last touch, and from the last look', async (t) => {
  const { clock, limiter } = fakeLimiter({ perLink: 1 })
  const stream = new FakeStream()
  const slot = limiter.acquire(owner(), stream)
  stream.takenBytes = 100 * KiB
  clock.now = 20 * SECOND
  slot.touch()
  clock.now = 49 * SECOND
  t.ok(
    refusalOf(() => limiter.acquire(owner())),
    '29 s after a block'
  )
  clock.now = 50 * SECOND
  stream.takenBytes = 200 * KiB
  t.ok(
    refusalOf(() => limiter.acquire(owner())),
    'it took 100 KiB'
  )
  clock.now = 80 * SECOND
  limiter.acquire(owner())
  t.equal(stream.ended, 1, 'and nothing since')
})

t.test('a transfer that waits for this server is not stalled (a slow disk)', async (t) => {
  const { clock, limiter } = fakeLimiter({ perLink: 1 })
  const stream = new FakeStream()
  stream.isPending = false
  limiter.acquire(owner(), stream)
  clock.now = 3600 * SECOND
  t.equal(
    refusalOf(() => limiter.acquire(owner())),
    'too_many_streams'
  )
  t.equal(stream.ended, 0)
})

t.test('nothing is ended for a client that is refused all the same', async (t) => {
  const { clock, limiter } = fakeLimiter({ perLink: 1, perAddress: 1 })
  const [stalled, moving] = [new FakeStream(), new FakeStream()]
  limiter.acquire(owner({ address: '192.0.2.2' }), stalled)
  limiter.acquire(owner({ linkId: 'other' }), moving)
  clock.now = 60 * SECOND
  moving.takenBytes = 100 * KiB
  t.equal(
    refusalOf(() => limiter.acquire(owner())),
    'too_many_streams'
  )
  t.equal(stalled.ended, 0)
})

t.test('one stalled transfer makes room under all of its limits; two are ended where two are needed', async (t) => {
  const { clock, limiter } = fakeLimiter({ perLink: 2, perAddress: 2, perAccount: 2 })
  const streams = [new FakeStream(), new FakeStream()]
  for (const stream of streams) limiter.acquire(owner(), stream)
  clock.now = 60 * SECOND
  limiter.acquire(owner())
  t.same(
    streams.map(({ ended }) => ended),
    [1, 0]
  )

  const apart = fakeLimiter({ perLink: 1, perAddress: 1 })
  const [byLink, byAddress] = [new FakeStream(), new FakeStream()]
  apart.limiter.acquire(owner({ address: '192.0.2.2' }), byLink)
  apart.limiter.acquire(owner({ linkId: 'other' }), byAddress)
  apart.clock.now = 60 * SECOND
  apart.limiter.acquire(owner())
  t.same([byLink.ended, byAddress.ended, apart.limiter.taken], [1, 1, 1])
})

t.test('a refusal looks at each transfer once in 30 s, however many are refused', async (t) => {
  const { clock, limiter } = fakeLimiter({ total: 100 })
  let looks = 0
  const streams = Array.from({ length: 100 }, () => new FakeStream())
  for (const stream of streams) {
    const progress = () => {
      looks++
      return FakeStream.prototype.progress.call(stream)
    }
    limiter.acquire(owner(), { progress, end: () => t.fail('it moves') })
  }
  clock.now = 60 * SECOND
  for (const stream of streams) stream.takenBytes = 100 * KiB
  looks = 0
  for (let index = 0; index < 1000; index++) {
    t.equal(
      refusalOf(() => limiter.acquire(owner())),
      'overloaded'
    )
  }
  t.equal(looks, 200, 'one look and one mark for each')
})
