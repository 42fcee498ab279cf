import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { testPostgres } from '../test/support/test-app.js'

type CleanUp = Pick<Test, 'teardown'>

/** What has to end with this process, last first. */
const ends: Array<() => unknown> = []

/**
 * Ends everything before a signal ends this process: nothing is left of a bench that is broken off. A terminal and a
 * process in front may both say so.
 */
export function endOnSignals (): void {
  let ending = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (ending) return
      ending = true
      void Promise.allSettled(ends.map(async (end) => await end())).then(() => process.exit(1))
    })
  }
}

/** Runs `work`, and whatever it registered for its end, last first, also when it fails. */
export async function withCleanUp<T> (work: (t: CleanUp) => Promise<T>): Promise<T> {
  const mine: Array<() => unknown> = []
  try {
    return await work({
      teardown (end) {
        mine.unshift(end)
        ends.unshift(end)
      }
    })
  } finally {
    for (const end of mine) {
      await end()
      ends.splice(ends.indexOf(end), 1)
    }
  }
}

/** A folder and a database for one server, without limits; on SQLite unless the URL of a Postgres is given. */
export async function benchEnvironment (
  t: CleanUp,
  postgres: string | undefined,
  more: Record<string, string>
): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-bench-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const limits = ['VIEW', 'LOGIN', 'SIGNUP', 'COURSE', 'API'].map((name) => [`RATE_LIMIT_${name}_PER_MINUTE`, '0'])
  return {
    ENVIRONMENT: 'production',
    DATA_DIR: join(folder, 'data'),
    UPLOAD_DIR: join(folder, 'uploads'),
    TMPDIR: folder,
    DATABASE_URL:
      postgres === undefined ? `sqlite:${join(folder, 'data', 'playgate.db')}` : await testPostgres(t, postgres),
    SECRET_KEY: 'a bench secret of at least thirty-two characters',
    LOG_LEVEL: 'warn',
    ...(Object.fromEntries(limits) as Record<string, string>),
    // All load comes from one address, by one link.
    MAX_CONCURRENT_STREAMS_PER_ADDRESS: '0',
    MAX_CONCURRENT_STREAMS_PER_LINK: '0',
    ...more
  }
}
