import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { testPostgres } from '../test/helper.js'

type CleanUp = Pick<Test, 'teardown'>

/** Runs `work`, and whatever it registered for its end, last first, also when it fails. */
export async function withCleanUp<T> (work: (t: CleanUp) => Promise<T>): Promise<T> {
  const ends: Array<() => unknown> = []
  try {
    return await work({ teardown: (end) => { ends.unshift(end) } })
  } finally {
    for (const end of ends) await end()
  }
}

/** A folder and a database for one server, without limits; on SQLite unless the URL of a Postgres is given. */
export async function benchEnvironment (t: CleanUp, postgres: string | undefined, more: Record<string, string>): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-bench-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const limits = ['VIEW', 'LOGIN', 'SIGNUP', 'COURSE', 'API'].map((name) => [`RATE_LIMIT_${name}_PER_MINUTE`, '0'])
  return {
    ENVIRONMENT: 'test',
    DATA_DIR: join(folder, 'data'),
    UPLOAD_DIR: join(folder, 'uploads'),
    DATABASE_URL: postgres === undefined ? `sqlite:${join(folder, 'data', 'playgate.db')}` : await testPostgres(t, postgres),
    SECRET_KEY: 'a bench secret of at least thirty-two characters',
    LOG_LEVEL: 'warn',
    ...Object.fromEntries(limits) as Record<string, string>,
    ...more
  }
}
