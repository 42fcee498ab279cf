import { spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findPostgres, findRedis, type Service } from './services.js'

// Runs the compiled suite: all of it on SQLite, then what touches a database once more on Postgres. Arguments are parts
// of test file names to run alone. With CI set, what can't run is a failure; else it is said loudly.

/** Nothing in these reads a database: once is enough. */
const ENGINE_FREE = /^(playback|config|storage|demo|browser|docs)\/|^protection\/(content-keys|packager|playlists)|^limits\/(contract|sliding-window)|^service\/clients|^faults\/(redis|sqlite|packaging-kill)|^commands\/(commands|doctor|prune)/
/** Minutes of packaging odd and long films, and of killing it: for TEST_LONG. */
const LONG_ONLY = /^faults\/packaging-kill|^protection\/packager/
/** These are about Postgres, or about several processes. */
const POSTGRES_ONLY = /^faults\/(postgres|two-processes)/

async function main (): Promise<number> {
  const wanted = process.argv.slice(2)
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => file.includes(part)))).sort()
    .filter((file) => process.env.TEST_LONG || !LONG_ONLY.test(file))
  // In a fresh clone tap would load its TypeScript compiler into every file until it is built for the plugins of .taprc.
  spawnSync(process.execPath, [join('node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'build'], { stdio: 'ignore', timeout: 120_000 })
  const postgres = await findPostgres()
  const redis = await findRedis()
  const services = [postgres, redis].filter((service): service is Service => typeof service !== 'string')
  const missing = [postgres, redis].filter((service) => typeof service === 'string')
  try {
    const env = {
      ...process.env,
      ...(typeof postgres !== 'string' && { TEST_DATABASE_URL: postgres.url }),
      ...(typeof redis !== 'string' && { TEST_REDIS_URL: redis.url })
    }
    const onSqlite = files.filter((file) => !POSTGRES_ONLY.test(file))
    const runs = onSqlite.length > 0 ? [await tap(onSqlite, { ...env, TEST_ENGINE: 'sqlite' })] : []
    const onPostgres = files.filter((file) => !ENGINE_FREE.test(file))
    if (typeof postgres !== 'string' && onPostgres.length > 0) runs.push(await tap(onPostgres, { ...env, TEST_ENGINE: 'postgres' }))
    const sum = (key: 'passed' | 'failed' | 'skipped') => runs.reduce((total, run) => total + run[key], 0)
    const skipped = sum('skipped') + missing.length
    for (const reason of missing) console.log(`SKIPPED: ${reason}`)
    const failed = sum('failed') + (process.env.CI ? skipped : 0)
    console.log(`${sum('passed')} passed, ${failed} failed${!process.env.CI && skipped > 0 ? `, ${skipped} skipped` : ''}`)
    return failed > 0 || runs.some((run) => run.status !== 0) ? 1 : 0
  } finally {
    await Promise.all(services.map((service) => service.stop()))
  }
}

interface Run { passed: number, failed: number, skipped: number, status: number }

/** Runs tap on compiled test files and counts what its TAP stream says. */
async function tap (files: string[], env: NodeJS.ProcessEnv): Promise<Run> {
  console.log(`\n# ${files.length} test files on ${env.TEST_ENGINE}`)
  const compiled = files.map((file) => join('dist', 'test', file.replace(/\.ts$/, '.js')))
  const child = spawn(process.execPath, [join('node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'run', '--reporter=tap', ...compiled], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const run: Run = { passed: 0, failed: 0, skipped: 0, status: 1 }
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) count(line, run)
  })
  run.status = await new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? 1)))
  return run
}

/** A point of a test that stands directly in a file is a test; its assertions are deeper. Failures are shown where they stand. */
function count (line: string, run: Run): void {
  const point = /^( *)(not )?ok \d+ - (.*)$/.exec(line)
  const depth = point?.[1]?.length ?? -1
  if (point !== null && depth === 4) {
    if (/# SKIP/i.test(point[3]!)) run.skipped++
    else if (point[2] !== undefined) run.failed++
    else run.passed++
  }
  if (depth === 0 || /^ *not ok/.test(line) || /# SKIP/i.test(line)) console.log(line.replace(/ \{$/, ''))
  else if (showing(line)) console.log(line)
}

let block = false
/** Lines of the diagnostics below a failure. */
function showing (line: string): boolean {
  if (/^ *---$/.test(line)) block = true
  if (/^ *\.\.\.$/.test(line)) block = false
  return block && !/(duration_ms|stack-trace-limit)/.test(line) && /diff|found|wanted|message|at:|fileName|lineNumber|^\s*[+-]|error|code/.test(line)
}

process.exitCode = await main()
