import SQLite from 'better-sqlite3'
import {
  CompiledQuery, Kysely, PostgresDialect, SqliteAdapter, SqliteDialect, SqliteDriver, SqliteQueryCompiler,
  type DatabaseConnection, type Driver, type LimitNode, type SqliteDialectConfig
} from 'kysely'
import { LRUCache } from 'lru-cache'
import { closeSync, existsSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type pg from 'pg'
import type { DatabaseConfig } from '../config.js'
import { makeFolder } from '../durable-folder.js'
import type { Database } from './tables.js'

/** Called when a connection fails outside of a query; without a listener that would end the process. */
export type OnConnectionError = (error: Error) => void

const MAX_KEPT_STATEMENTS = 500
/** Longer ones are batches, each of another size. */
const MAX_KEPT_TEXT = 4096

const pools = new WeakMap<Kysely<Database>, pg.Pool>()

/**
 * The database as a Kysely. On SQLite one connection, in WAL mode, durable on every commit (synchronous=FULL), write
 * transactions begun as IMMEDIATE; opened by the first query, and its folder made if it is missing.
 */
export function openDatabase (config: DatabaseConfig, onConnectionError: OnConnectionError = () => {}): Kysely<Database> {
  if (config.engine === 'sqlite') {
    return new Kysely<Database>({ dialect: new ImmediateSqliteDialect({ database: async () => openSqlite(config.path) }) })
  }
  const db: Kysely<Database> = new Kysely<Database>({
    dialect: new PostgresDialect({
      // Loaded only where there is a Postgres: it takes as long as half of the rest of the start of a thread.
      pool: async () => {
        const { openPool } = await import('./postgres-pool.js')
        const pool = openPool(config, onConnectionError)
        pools.set(db, pool)
        return pool
      }
    })
  })
  return db
}

/** Connections open, and requests that wait for one; none of either on SQLite. */
export function poolFigures (db: Kysely<Database>): { connections: number, waiting: number } {
  const pool = pools.get(db)
  return { connections: pool?.totalCount ?? 0, waiting: pool?.waitingCount ?? 0 }
}

function openSqlite (path: string): SQLite.Database {
  makeFolder(dirname(path))
  // It holds hashes of passwords, and addresses of viewers. Its log is made with the mode that it has.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const file = new SQLite(path, { timeout: 10_000 })
  file.pragma('journal_mode = WAL')
  file.pragma('synchronous = FULL')
  file.pragma('foreign_keys = ON')
  keepStatements(file)
  return file
}

/** Kysely prepares each query anew, which costs more than most of ours take to run. SQLite itself prepares a kept one again after a change of schema. */
function keepStatements (file: SQLite.Database): void {
  const kept = new LRUCache<string, SQLite.Statement>({ max: MAX_KEPT_STATEMENTS })
  const prepare = file.prepare.bind(file)
  file.prepare = ((text: string) => {
    const known = kept.get(text)
    if (known !== undefined) return known
    const statement = prepare(text)
    // A pragma is carried out as it is prepared.
    if (text.length <= MAX_KEPT_TEXT && !text.startsWith('pragma')) kept.set(text, statement)
    return statement
  }) as typeof file.prepare
}

/** Kysely begins deferred; a transaction that reads and then writes would meet SQLITE_BUSY at once, whatever the timeout. */
class ImmediateSqliteDriver extends SqliteDriver {
  override async beginTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  /** After some errors, a full disk among them, SQLite has rolled back by itself; that there is nothing left to do must not hide the error. */
  override async rollbackTransaction (connection: DatabaseConnection): Promise<void> {
    await super.rollbackTransaction(connection).catch((error: Error) => {
      if (!error.message.includes('no transaction is active')) throw error
    })
  }
}

/** SQLite's DDL is transactional; Kysely leaves that off, and a kill in the middle of a migration would leave half of it. */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl (): boolean { return true }
}

/** A LIMIT that is a bare parameter is part of SQLite's plan: it prepares the statement again each time that one is bound, for half of the time of a small query. */
class StableLimitCompiler extends SqliteQueryCompiler {
  protected override visitLimit (node: LimitNode): void {
    this.append('limit cast(')
    this.visitNode(node.limit)
    this.append(' as integer)')
  }
}

class ImmediateSqliteDialect extends SqliteDialect {
  readonly #config: SqliteDialectConfig

  constructor (config: SqliteDialectConfig) {
    super(config)
    this.#config = config
  }

  override createDriver (): Driver { return new ImmediateSqliteDriver(this.#config) }
  override createQueryCompiler (): SqliteQueryCompiler { return new StableLimitCompiler() }
  override createAdapter (): SqliteAdapter { return new TransactionalSqliteAdapter() }
}
