import t from 'tap'
import { ApiError } from '../../../src/errors.js'
import { confirmRefusal, RecordCache } from '../../../src/cache/record-cache.js'
import { clockOf } from '../../support/clock.js'

t.test('records are cached in as many bytes as are given: large ones push others out, small ones stay', async (t) => {
  const reads: string[] = []
  const cache = new RecordCache(
    async (key) => {
      reads.push(key)
      return { text: 'x'.repeat(key.startsWith('large') ? 40_000 : 10) }
    },
    clockOf(() => 0),
    100_000
  )
  for (const key of ['a', 'b', 'a', 'b']) await cache.get(key)
  t.same(reads, ['a', 'b'])
  await cache.get('large 1')
  await cache.get('a')
  t.same(reads, ['a', 'b', 'large 1'], 'there is room for one')
  await cache.get('large 2')
  await cache.get('large 1')
  t.same(reads, ['a', 'b', 'large 1', 'large 2', 'large 1'], 'and not for two')
})

t.test(
  'a refusal comes from a record that was read after the check began; a flood of them costs one query at a time',
  async (t) => {
    let value = 0
    let reads = 0
    let atOnce = 0
    let most = 0
    const cache = new RecordCache(
      async () => {
        reads++
        most = Math.max(most, ++atOnce)
        const seen = value
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
        atOnce--
        return { seen }
      },
      clockOf(() => 0)
    )
    const check = async () =>
      await confirmRefusal(async (since) => {
        const record = await cache.get('a', since)
        if (record!.seen < 2) throw new ApiError('not_found')
        return record!.seen
      })
    await t.rejects(check(), { code: 'not_found' })
    value = 1
    await t.rejects(check(), { code: 'not_found' })
    value = 2
    t.equal(await check(), 2, 'what has changed since it was cached is seen')
    t.equal(reads, 3)
    t.equal(await check(), 2)
    t.equal(reads, 3, 'what is allowed is not read again')

    value = 0
    cache.invalidateAll()
    reads = most = 0
    const outcomes = await Promise.allSettled(Array.from({ length: 1000 }, check))
    t.ok(outcomes.every(({ status }) => status === 'rejected'))
    t.equal(most, 1)
    t.ok(reads <= 3, `1,000 refusals at once took ${reads} reads`)
  }
)
