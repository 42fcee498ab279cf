import SQLite from 'better-sqlite3'
import {
  Kysely,
  PostgresDialect,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type Dialect,
  type LimitNode
} from 'kysely'
import { LRUCache } from 'lru-cache'
import { closeSync, existsSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type pg from 'pg'
import type { DatabaseConfig } from '../config/database.js'
import type { OnDamage } from './damage-watch.js'
import type { OnConnectionError } from './postgres-pool.js'
import { makeFolder } from '../storage/durable-folder.js'
import { SqliteDriver, type SqliteConnections } from './sqlite-driver.js'
import type { Database } from './tables.js'

const MAX_KEPT_STATEMENTS = 500
/** Longer statements are batches, and vary in size. */
const MAX_KEPT_TEXT = 4096

interface Listeners {
  onConnectionError?: OnConnectionError
  onDamage?: OnDamage
}

const pools = new WeakMap<Kysely<Database>, pg.Pool>()

/**
 * Opens a database. SQLite uses WAL mode, and every commit is durable (synchronous=FULL). The first query opens the
 * file, and creates its folder if it is missing.
 */
export function openDatabase (config: DatabaseConfig, listeners: Listeners = {}): Kysely<Database> {
  const { onConnectionError = () => {}, onDamage = () => {} } = listeners
  if (config.engine === 'sqlite') {
    return new Kysely<Database>({ dialect: sqliteDialect(config.path, onDamage) })
  }
  const db: Kysely<Database> = new Kysely<Database>({
    dialect: new PostgresDialect({
      // Loaded only for Postgres, because it takes half as long as the rest of the start of a thread.
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

/** Returns the numbers of open connections and of requests that wait for a connection. Both are 0 on SQLite. */
export function poolStats (db: Kysely<Database>): { connections: number; waiting: number } {
  const pool = pools.get(db)
  return { connections: pool?.totalCount ?? 0, waiting: pool?.waitingCount ?? 0 }
}

/** Opening may block this long for a lock. Afterwards, the driver waits without blocking the event loop. */
const OPEN_TIMEOUT_MS = 10_000

function openSqlite (path: string): SqliteConnections {
  makeFolder(dirname(path))
  // The file contains password hashes and viewer addresses. SQLite creates the log with the mode of the file.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const writer = new SQLite(path, { timeout: OPEN_TIMEOUT_MS })
  writer.pragma('journal_mode = WAL')
  writer.pragma('synchronous = FULL')
  writer.pragma('foreign_keys = ON')
  const reader = new SQLite(path, { timeout: OPEN_TIMEOUT_MS })
  reader.pragma('query_only = ON')
  for (const file of [writer, reader]) {
    file.pragma('busy_timeout = 0')
    keepStatements(file)
  }
  return { writer, reader }
}

/**
 * Caches prepared statements, because preparing a query costs more than running most queries. After a schema change,
 * SQLite itself prepares a cached statement again.
 */
function keepStatements (file: SQLite.Database): void {
  const kept = new LRUCache<string, SQLite.Statement>({ max: MAX_KEPT_STATEMENTS })
  const prepare = file.prepare.bind(file)
  file.prepare = ((text: string) => {
    const known = kept.get(text)
    if (known !== undefined) return known
    const statement = prepare(text)
    // SQLite executes a pragma when it prepares it.
    if (text.length <= MAX_KEPT_TEXT && !text.startsWith('pragma')) kept.set(text, statement)
    return statement
  }) as typeof file.prepare
}

/**
 * SQLite supports transactional DDL, but Kysely does not use it. A kill during a migration would then leave half of the
 * migration.
 */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl (): boolean {
    return true
  }
}

/**
 * A LIMIT that is a plain parameter is part of SQLite's query plan. SQLite then prepares the statement again for each
 * bound value, which takes half the time of a small query.
 */
class StableLimitCompiler extends SqliteQueryCompiler {
  protected override visitLimit (node: LimitNode): void {
    this.append('limit cast(')
    this.visitNode(node.limit)
    this.append(' as integer)')
  }
}

function sqliteDialect (path: string, onDamage: OnDamage): Dialect {
  return {
    createDriver: () => new SqliteDriver(async () => openSqlite(path), onDamage),
    createQueryCompiler: () => new StableLimitCompiler(),
    createAdapter: () => new TransactionalSqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db)
  }
}
