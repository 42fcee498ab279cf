import t from 'tap'
import type { Bench } from '../../../bench/bench.js'
import { agree, measure, type Measured } from '../../../bench/compare.js'

/** A bench whose sides answer how often they were set up. */
function countingBench (shape: Partial<Bench>): { bench: Bench; calls: string[] } {
  const calls: string[] = []
  let opened = 0
  const bench: Bench = {
    name: 'counting',
    about: '',
    unit: 'request',
    rows: [{ what: 'Time', figure: 'seconds', subject: 'ours', baseline: 'theirs', atMost: 2 }],
    ...shape,
    async open (t) {
      const number = ++opened
      t.teardown(() => calls.push('closed'))
      const side = (name: string, seconds: number) => async () => {
        calls.push(name)
        return { units: 1, seconds: seconds * number, cpuSeconds: 0 }
      }
      return { ours: side('ours', 3), theirs: side('theirs', 2) }
    }
  }
  return { bench, calls }
}

// A run measured one process of each side, and agreed with itself but not with the next run.
t.test('passes share the rounds, each with sides of its own, in turn, after their warm-up', async (t) => {
  const { bench, calls } = countingBench({ passes: { laptop: 2 }, rounds: { laptop: 5 }, warmUp: 1 })
  const first: Measured = await measure(bench, 'laptop', 1)
  t.same(calls.splice(0), [...Array(4).fill(['ours', 'theirs']).flat(), 'closed'])
  const { samples, outcomes } = await measure(bench, 'laptop', 2, first)
  t.same(calls, [...Array(3).fill(['ours', 'theirs']).flat(), 'closed'])
  t.same(
    samples.ours!.map(({ seconds }) => seconds),
    [3, 3, 3, 6, 6]
  )
  t.match(outcomes, [
    { value: { median: 1.5, least: 1.5, greatest: 1.5 }, subject: { median: 3, least: 3, greatest: 6 }, met: true }
  ])
  t.equal(first.samples.ours!.length, 3, 'the first pass keeps its own')
})

t.test('a row may say what the machine allows, by a side of the same rounds', async (t) => {
  const { bench } = countingBench({
    rows: [{ what: 'Time', figure: 'seconds', subject: 'ours', baseline: 'theirs', atMost: 1, limit: 'theirs' }],
    rounds: { gate: 2 }
  })
  const { outcomes } = await measure(bench, 'gate', 1)
  t.match(
    outcomes,
    [{ value: { median: 1.5 }, limit: { median: 1, least: 1, greatest: 1 }, met: false }],
    'and is judged by its target all the same'
  )
})

t.test('two runs agree where the median of one lies within the spread of the other', async (t) => {
  const wide = { median: 5, least: 1, greatest: 6 }
  t.ok(agree(wide, { median: 2, least: 2, greatest: 2 }))
  t.ok(agree({ median: 6, least: 6, greatest: 7 }, wide))
  t.notOk(agree(wide, { median: 6.1, least: 5.5, greatest: 7 }), 'spreads that only overlap do not')
})
