import { analyticsGrowth, analyticsGrowthPostgres } from './analytics-growth.js'
import type { Bench, Length } from './bench.js'
import { measure, type Measured } from './compare.js'
import { logins, slowSync } from './latency.js'
import { redisLimit } from './limits.js'
import { jsonReads } from './reads.js'
import { outcomeLines } from './report.js'
import { start } from './start.js'
import { bulkStream, ranges, slowReaders } from './streaming.js'
import { uploads } from './uploads.js'
import { viewPosts } from './views.js'

const benches: Bench[] = [bulkStream, ranges, slowReaders, viewPosts, analyticsGrowth, analyticsGrowthPostgres, jsonReads, redisLimit, uploads, logins, slowSync, start]

const words = process.argv.slice(2)
const names = words.filter((word) => !word.startsWith('--'))
const length: Length = words.includes('--full') ? 'full' : 'laptop'
const measured: Measured[] = []
for (const bench of benches.filter(({ name }) => names.length === 0 || names.includes(name))) {
  console.log(`\n${bench.name}: ${bench.about}`)
  const one = await measure(bench, length)
  for (const outcome of one.outcomes) for (const line of outcomeLines(outcome, one)) console.log(`  ${line}`)
  measured.push(one)
}
