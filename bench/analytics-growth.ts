import { performance } from 'node:perf_hooks'
import type { Test } from 'tap'
import { loadConfig } from '../src/config.js'
import { openDatabase } from '../src/database/open.js'
import { recountViews } from '../src/views/view-maintenance.js'
import { benchEnvironment, withCleanUp } from './environment.js'
import { fillLog } from './fill-log.js'
import { medianOf, quantileOf } from './samples.js'
import { call, newLinkedMedia, newToken, startServer } from '../test/server-process.js'
import { findPostgres } from '../test/services.js'

const SIZES = [1000, 1_000_000] as const
const PAIRS = 9
const REQUESTS_A_ROUND = 300
const TARGET_RATIO = 1.5

type CleanUp = Pick<Test, 'teardown'>

/** A server whose only media has so many views in its log; `ask` answers the milliseconds of one analytics request. */
async function serverWith (t: CleanUp, views: number, postgres: string | undefined): Promise<{ ask (): Promise<number> }> {
  const env = await benchEnvironment(t, postgres, { ANALYTICS_CACHE_TTL_SECONDS: '0' })
  const { origin } = await startServer(t, env)
  const token = await newToken(origin, 'owner@example.org')
  const id = await newLinkedMedia(origin, token)
  const db = openDatabase(loadConfig(env).database)
  try {
    await fillLog(db, id, views)
    const differences = await recountViews(db, { dryRun: true })
    if (differences.length > 0) throw new Error(`log and roll-ups differ: ${JSON.stringify(differences)}`)
  } finally {
    await db.destroy()
  }
  return {
    async ask () {
      const start = performance.now()
      const { status, body } = await call(origin, `/media/${id}/analytics`, { token })
      const took = performance.now() - start
      if (status !== 200 || body.total_views !== views || body.cached !== false) throw new Error(`a wrong answer: ${status} ${JSON.stringify(body)}`)
      return took
    }
  }
}

/** Rounds of requests to one and the other in turn, so that whatever else the machine does falls on both. */
async function compare (t: CleanUp, name: string, postgres: string | undefined): Promise<boolean> {
  const servers = [await serverWith(t, SIZES[0], postgres), await serverWith(t, SIZES[1], postgres)]
  const rounds: number[][] = [[], []]
  const all: number[][] = [[], []]
  for (let pair = -1; pair < PAIRS; pair++) {
    for (const [index, { ask }] of servers.entries()) {
      const samples: number[] = []
      for (let request = 0; request < REQUESTS_A_ROUND; request++) samples.push(await ask())
      // The first pair warms both up.
      if (pair < 0) continue
      rounds[index]!.push(medianOf(samples))
      all[index]!.push(...samples)
    }
  }
  for (const [index, views] of SIZES.entries()) {
    const [samples, medians] = [all[index]!, rounds[index]!]
    console.log(row(name, views.toLocaleString('en'), ...[medianOf(samples), Math.min(...medians), Math.max(...medians), quantileOf(samples, 0.95)].map((ms) => ms.toFixed(2))))
  }
  const ratios = rounds[1]!.map((large, pair) => large / rounds[0]![pair]!)
  const ratio = medianOf(ratios)
  console.log(`  ${name}: ratio ${ratio.toFixed(2)} (pairs ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}), target at most ${TARGET_RATIO}: ${ratio <= TARGET_RATIO ? 'met' : 'MISSED'}`)
  return ratio <= TARGET_RATIO
}

const row = (...cells: string[]): string => '  ' + cells.map((cell, index) => index === 0 ? cell.padEnd(10) : cell.padStart(14)).join('')

/** Analytics through a real server, its cache off, with a small and a large log of one media, on SQLite and on Postgres where there is one. */
export async function analyticsGrowth (): Promise<boolean> {
  if (/^postgres/.test(process.env.DATABASE_URL ?? '')) process.env.TEST_DATABASE_URL ??= process.env.DATABASE_URL
  const postgres = await findPostgres()
  console.log(`GET /media/{id}/analytics, cache off, milliseconds; ${PAIRS} pairs of rounds in turn, ${REQUESTS_A_ROUND} requests a round`)
  console.log(row('', 'views in log', 'median', 'least round', 'greatest', 'p95'))
  let met = await withCleanUp((t) => compare(t, 'SQLite', undefined))
  if (typeof postgres === 'string') {
    console.log(`  Postgres left out: ${postgres}`)
    return met
  }
  try {
    met = await withCleanUp((t) => compare(t, 'Postgres', postgres.url)) && met
  } finally {
    await postgres.stop()
  }
  return met
}
