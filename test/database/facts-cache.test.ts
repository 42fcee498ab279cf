import t from 'tap'
import { createFactsCache } from '../../src/facts-cache.js'

t.test('facts are cached in as many bytes as are given: large ones push others out, small ones stay', async (t) => {
  const reads: string[] = []
  const cache = createFactsCache(async (key) => {
    reads.push(key)
    return { text: 'x'.repeat(key.startsWith('large') ? 40_000 : 10) }
  }, () => 0, 100_000)
  for (const key of ['a', 'b', 'a', 'b']) await cache.get(key)
  t.same(reads, ['a', 'b'])
  await cache.get('large 1')
  await cache.get('a')
  t.same(reads, ['a', 'b', 'large 1'], 'there is room for one')
  await cache.get('large 2')
  await cache.get('large 1')
  t.same(reads, ['a', 'b', 'large 1', 'large 2', 'large 1'], 'and not for two')
})
