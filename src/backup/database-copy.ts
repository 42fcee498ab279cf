import SQLite from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import { BackupError, describeFile, type HashedFile } from './manifest.js'

/**
 * Copies a database of one moment into a folder, and calls `read` on exactly that moment. A running server may write
 * meanwhile.
 */
export async function copyDatabase<T> (
  { database, searchPath }: Pick<Config, 'database' | 'searchPath'>,
  db: Kysely<Database>,
  folder: string,
  read: (copy: Kysely<Database>) => Promise<T>
): Promise<{ file: HashedFile; found: T }> {
  if (database.engine === 'postgres') return await dumpPostgres({ url: database.url, searchPath }, db, folder, read)
  const path = join(folder, 'database.sqlite')
  const source = new SQLite(database.path, { fileMustExist: true, timeout: 10_000 })
  try {
    source.prepare('vacuum into ?').run(path)
  } finally {
    source.close()
  }
  const copy = openCopy(path)
  try {
    const found = await read(copy)
    return { file: await hashed(folder, 'database.sqlite'), found }
  } finally {
    await copy.destroy()
  }
}

/** Opens a copied SQLite database. Reading does not change its file. */
export function openCopy (path: string): Kysely<Database> {
  return new Kysely({
    dialect: new SqliteDialect({ database: new SQLite(path, { readonly: true, fileMustExist: true }) })
  })
}

async function dumpPostgres<T> (
  server: PostgresServer,
  db: Kysely<Database>,
  folder: string,
  read: (copy: Kysely<Database>) => Promise<T>
): Promise<{ file: HashedFile; found: T }> {
  // pg_dump and the queries see the same moment, as long as this transaction is open.
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => {
      const { rows } = await sql<{ id: string }>`select pg_export_snapshot() as id`.execute(trx)
      const file = join(folder, 'database.dump')
      await runPostgresTool(server, 'pg_dump', [
        '--format=custom',
        '--no-owner',
        '--no-privileges',
        `--snapshot=${rows[0]!.id}`,
        `--file=${file}`
      ])
      return { found: await read(trx), file: await hashed(folder, 'database.dump') }
    })
}

/** A Postgres, and the `PATH` in which its programs are searched. */
export interface PostgresServer {
  url: string
  searchPath: string
}

/**
 * Runs a program of Postgres. The password is in its environment, because every user of the machine can read arguments.
 * **Throws** BackupError.
 */
export async function runPostgresTool (
  { url, searchPath }: PostgresServer,
  program: string,
  args: string[]
): Promise<void> {
  const child = spawn(program, args, {
    env: { PATH: searchPath, ...libpqEnvironment(url) },
    stdio: ['ignore', 'ignore', 'pipe']
  })
  let printed = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed = (printed + text).slice(-2000)
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', () =>
      reject(new BackupError(`${program} is not installed: install the client programs of your Postgres`))
    )
    child.once('close', resolve)
  })
  if (code !== 0) throw new BackupError(`${program} failed: ${printed.trim()}`)
}

/** Returns the variables by which libpq finds a database (PostgreSQL manual, 34.15). */
function libpqEnvironment (url: string): Record<string, string> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(url)
  const variables = {
    PGHOST: searchParams.get('host') ?? decodeURIComponent(hostname),
    PGPORT: port,
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    PGSSLMODE: searchParams.get('sslmode') ?? '',
    PGSSLROOTCERT: searchParams.get('sslrootcert') ?? ''
  }
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
}

async function hashed (folder: string, name: string): Promise<HashedFile> {
  const file = await open(join(folder, name), 'r+')
  try {
    await file.chmod(0o600)
    await file.sync()
  } finally {
    await file.close()
  }
  return await describeFile(folder, name)
}
