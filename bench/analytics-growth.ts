import { performance } from 'node:perf_hooks'
import { loadConfig } from '../src/config/config.js'
import { openDatabase } from '../src/database/open.js'
import { recountViews } from '../src/views/view-maintenance.js'
import { call } from '../test/support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../test/support/client.js'
import { findPostgres } from '../test/support/services.js'
import type { Bench, CleanUp, Length, Sample } from './bench.js'
import { benchEnvironment } from './environment.js'
import { fillLog } from './fill-log.js'
import { cpuSecondsOf, startPlaygate } from './processes.js'
import { quantileOf } from './samples.js'

const SMALL = 10_000
const largeOf = (length: Length) => ({ gate: 300_000, laptop: 1_000_000, full: 10_000_000 })[length]
const REQUESTS_A_ROUND = 100

/**
 * A server whose only media has this many views in its log; a round is some hundred analytics requests, one after the
 * other.
 */
async function serverWith (t: CleanUp, views: number, postgres: string | undefined): Promise<() => Promise<Sample>> {
  const env = await benchEnvironment(t, postgres, {
    ANALYTICS_CACHE_TTL_SECONDS: '0',
    DATABASE_STATEMENT_TIMEOUT_SECONDS: '600'
  })
  const { origin, pids } = await startPlaygate(t, env)
  const token = await newToken(origin, 'owner@example.org')
  const id = await newLinkedMedia(overHttp(origin), callerOf(token))
  const db = openDatabase(loadConfig(env).database)
  try {
    await fillLog(db, id, views)
    const differences = await recountViews(db, { dryRun: true })
    if (differences.length > 0) throw new Error(`log and roll-ups differ: ${JSON.stringify(differences)}`)
  } finally {
    await db.destroy()
  }
  return async () => {
    const cpu = cpuSecondsOf(pids)
    const begin = performance.now()
    const samples: number[] = []
    for (let request = 0; request < REQUESTS_A_ROUND; request++) {
      const start = performance.now()
      const { status, body } = await call(origin, `/media/${id}/analytics`, { token })
      samples.push(performance.now() - start)
      if (status !== 200 || body.total_views !== views || body.cached !== false) {
        throw new Error(`a wrong answer: ${status} ${JSON.stringify(body)}`)
      }
    }
    return {
      units: REQUESTS_A_ROUND,
      seconds: (performance.now() - begin) / 1000,
      cpuSeconds: cpuSecondsOf(pids) - cpu,
      p50Ms: quantileOf(samples, 0.5),
      p99Ms: quantileOf(samples, 0.99)
    }
  }
}

/**
 * Analytics through a real server, its cache off, with a small and a large log of one media: the answer must not get
 * slower.
 */
const growth = (engine: 'SQLite' | 'Postgres'): Bench => ({
  name: engine === 'SQLite' ? 'analytics-growth' : 'analytics-growth-postgres',
  about:
    `GET /media/{id}/analytics on ${engine}, cache off, with 10,000 views in the log and with 1,000,000 ` +
    '(10,000,000 in the full form)',
  unit: 'request',
  // To fill a log takes longer than to ask for it.
  passes: { laptop: 1, full: 1 },
  rounds: { laptop: 5, full: 9 },
  warmUp: 1,
  gated: engine === 'SQLite',
  rows: [
    {
      what: `Analytics with a large log, ${engine}`,
      figure: 'p50',
      subject: 'large log',
      baseline: '10,000 views',
      atMost: 1.3
    }
  ],
  async open (t, length) {
    // One after the other: to fill a large log holds this process up for a minute, in which a server ends the
    // connections that are idle.
    const sides = async (postgres: string | undefined) => ({
      'large log': await serverWith(t, largeOf(length), postgres),
      '10,000 views': await serverWith(t, SMALL, postgres)
    })
    if (engine === 'SQLite') return await sides(undefined)
    if (/^postgres/.test(process.env.DATABASE_URL ?? '')) process.env.TEST_DATABASE_URL ??= process.env.DATABASE_URL
    const postgres = await findPostgres()
    if (typeof postgres === 'string') throw new Error(postgres)
    t.teardown(() => postgres.stop())
    return await sides(postgres.url)
  }
})

export const analyticsGrowth = growth('SQLite')
export const analyticsGrowthPostgres = growth('Postgres')
