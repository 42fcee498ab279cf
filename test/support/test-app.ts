import SQLite from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { InjectOptions, Response } from 'light-my-request'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'
import { buildApp, type Overrides } from '../../src/app.js'
import { loadConfig, type Config } from '../../src/config/config.js'
import { drain, trackSockets } from '../../src/process/drain.js'

/** Which engine this run is on: the same suite runs on both. */
export const engine = process.env.TEST_ENGINE === 'postgres' ? 'postgres' : 'sqlite'

const noLimits = {
  RATE_LIMIT_VIEW_PER_MINUTE: '0',
  RATE_LIMIT_LOGIN_PER_MINUTE: '0',
  RATE_LIMIT_SIGNUP_PER_MINUTE: '0',
  RATE_LIMIT_COURSE_PER_MINUTE: '0',
  RATE_LIMIT_API_PER_MINUTE: '0'
}

export interface TestApp {
  app: FastifyInstance
  config: Config
  /** The environment it was configured by, for starting a second process beside it. */
  env: Record<string, string>
  /** The folder that holds its data and uploads. */
  folder: string
  /** Moves the clock that the app sees. */
  clock: { now: number; advance(milliseconds: number): void }
  inject(options: InjectOptions): Promise<Response>
  /** Rows of a query, straight from its database. */
  query<T = Record<string, unknown>>(sql: string): Promise<T[]>
  /** Starts listening on a free port, once; returns the origin. */
  listen(): Promise<string>
  /** Files under uploads/, drafts and blobs. */
  storedFiles(): Promise<string[]>
}

/**
 * An environment of its own: a folder and a database, both gone when the test ends. Limits are off unless `env` sets
 * them.
 */
export async function testEnvironment (
  t: Test,
  env: Record<string, string> = {}
): Promise<{ env: Record<string, string>; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const databaseUrl = engine === 'postgres' ? await testPostgres(t) : `sqlite:${join(folder, 'data', 'playgate.db')}`
  return {
    folder,
    env: {
      ENVIRONMENT: 'test',
      // As on a machine without ffmpeg: files are those that a test made.
      PATH: '/nonexistent',
      PORT: '0',
      DATA_DIR: join(folder, 'data'),
      UPLOAD_DIR: join(folder, 'uploads'),
      TMPDIR: folder,
      DATABASE_URL: databaseUrl,
      SECRET_KEY: 'a test secret of at least thirty-two characters',
      LOG_LEVEL: 'silent',
      ...noLimits,
      ...env
    }
  }
}

/** Why a test that is about Postgres cannot run here; false if it can. */
export const withoutPostgres =
  process.env.TEST_DATABASE_URL === undefined && 'needs Postgres: run `npm test`, or set TEST_DATABASE_URL'

/** An environment on Postgres, whatever the engine of this run: for tests of what only Postgres has. */
export async function postgresEnvironment (
  t: Test,
  env: Record<string, string> = {}
): Promise<{ env: Record<string, string>; folder: string }> {
  return await testEnvironment(t, { DATABASE_URL: await testPostgres(t), ...env })
}

/** A server of its own, on the engine of this run, closed when the test ends. Bcrypt's cost is 4 unless overridden. */
export async function buildTestApp (
  t: Test,
  env: Record<string, string> = {},
  overrides: Overrides = {}
): Promise<TestApp> {
  const made = await testEnvironment(t, env)
  return await openTestApp(t, made.env, made.folder, overrides)
}

/** A server on an environment that exists: a restart, or a second process's twin. */
export async function openTestApp (
  t: Test,
  env: Record<string, string>,
  folder: string,
  overrides: Overrides = {}
): Promise<TestApp> {
  const config = loadConfig(env)
  const start = Date.now()
  const clock = {
    now: start,
    advance (milliseconds: number) {
      this.now += milliseconds
    }
  }
  const app = await buildApp(config, {
    bcryptCost: 4,
    ffmpeg: false,
    warmUp: false,
    // The first view starts a worker thread: on a busy machine that takes longer than a stream waits for its view.
    streamWaitMs: 60_000,
    ...overrides,
    clock: { now: () => clock.now, monotonicNow: () => performance.now() + clock.now - start, ...overrides.clock }
  })
  // As the server itself stops: a connection that a browser opened ahead of need would hold app.close() up for a minute
  // and a half (bug: browser/embed-mux ran into its timeout).
  const sockets = trackSockets(app.server)
  t.teardown(() => drain(app, sockets, 10_000))
  let origin: string | undefined
  return {
    app,
    config,
    env,
    folder,
    clock,
    inject: (options) => app.inject(options),
    query: (sql) => queryDatabase(config, sql),
    async listen () {
      if (origin === undefined) {
        await app.listen({ host: '127.0.0.1', port: 0 })
        origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
      }
      return origin
    },
    async storedFiles () {
      const folders = await Promise.all(
        ['tmp', 'blobs'].map((name) => readdir(join(folder, 'uploads', name)).catch(() => []))
      )
      return folders.flat()
    }
  }
}

/** A database of its own on a Postgres, by default the one that test/run.ts found. */
export async function testPostgres (t: Pick<Test, 'teardown'>, base = process.env.TEST_DATABASE_URL): Promise<string> {
  if (base === undefined) {
    throw new Error('TEST_DATABASE_URL is not set: run `npm test`, which finds or starts a Postgres')
  }
  const name = `playgate_test_${randomUUID().replaceAll('-', '')}`
  await once(base, `create database ${name}`)
  t.teardown(() => {
    const dropped = once(base, `drop database if exists ${name} with (force)`)
    // Each `drop database` waits for a checkpoint, and drops that run at once share one. The next test need not wait.
    // A Postgres that a test started is stopped next, so that its drop is awaited.
    return base === process.env.TEST_DATABASE_URL ? undefined : dropped
  })
  const url = new URL(base)
  url.pathname = `/${name}`
  return url.href
}

async function once (url: string, sql: string): Promise<Array<Record<string, unknown>>> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows as Array<Record<string, unknown>>
  } finally {
    await client.end()
  }
}

/** Rows of a query, straight from a database. */
export async function queryDatabase<T = Record<string, unknown>> ({ database }: Config, sql: string): Promise<T[]> {
  if (database.engine === 'postgres') return (await once(database.url, sql)) as T[]
  // A server in this process can end a transaction only while the event loop is free: SQLite must not wait for it.
  for (let tries = 0; ; tries++) {
    const file = new SQLite(database.path, { timeout: 50 })
    try {
      const statement = file.prepare(sql)
      return statement.reader ? (statement.all() as T[]) : (statement.run(), [])
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY' || tries === 200) throw error
    } finally {
      file.close()
    }
    await sleep(25)
  }
}

/** Resolves when everything that was deleted is removed: rows, and then files. */
export async function removalsDone (server: TestApp): Promise<void> {
  const left = async () =>
    (await server.query("select id from jobs where kind in ('delete-media', 'delete-course')")).length
  for (let tries = 0; (await left()) > 0; tries++) {
    if (tries === 300) throw new Error(`deleted, and not removed: ${await left()} jobs are left`)
    await sleep(20)
  }
}

/** Holds a reply against the problem it must be, member by member. */
export function expectProblem (t: Test, reply: Response, status: number, code: string, fields: string[] = []): void {
  t.equal(reply.statusCode, status, `${code}: ${reply.body.slice(0, 300)}`)
  t.match(reply.headers['content-type'], /^application\/problem\+json/)
  const problem = reply.json<{
    status: number
    code: string
    type: string
    detail: string
    instance: string
    request_id: string
    errors?: Array<{ path: string }>
  }>()
  t.equal(problem.code, code)
  t.equal(problem.status, status)
  t.ok(problem.type.endsWith(`/problems/${code}`))
  t.ok(problem.detail)
  t.ok(problem.request_id)
  for (const path of fields) {
    t.ok(
      problem.errors?.some((error) => error.path === path),
      `names the field ${path}: ${JSON.stringify(problem.errors)}`
    )
  }
}
