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
/** Longer ones are batches, each of another size. */
const MAX_KEPT_TEXT = 4096

interface Listeners {
  onConnectionError?: OnConnectionError
  onDamage?: OnDamage
}

const pools = new WeakMap<Kysely<Database>, pg.Pool>()

/**
 * The database as a Kysely. SQLite is in WAL mode, durable on every commit (synchronous=FULL); it is opened by the
 * first query, and its folder is made if it is missing.
 */
export function openDatabase (config: DatabaseConfig, listeners: Listeners = {}): Kysely<Database> {
  const { onConnectionError = () => {}, onDamage = () => {} } = listeners
  if (config.engine === 'sqlite') {
    return new Kysely<Database>({ dialect: sqliteDialect(config.path, onDamage) })
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
export function poolFigures (db: Kysely<Database>): { connections: number; waiting: number } {
  const pool = pools.get(db)
  return { connections: pool?.totalCount ?? 0, waiting: pool?.waitingCount ?? 0 }
}

/** A start may wait for a lock; afterwards the driver waits, without the event loop. */
const OPEN_TIMEOUT_MS = 10_000

function openSqlite (path: string): SqliteConnections {
  makeFolder(dirname(path))
  // It holds hashes of passwords, and addresses of viewers. Its log is made with the mode that it has.
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
 * To prepare a query costs more than to run most of them. SQLite itself prepares a kept one again after a change of
 * schema.
 */
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

/**
 * SQLite's DDL is transactional; Kysely leaves that off, and a kill in the middle of a migration would leave half of
 * it.
 */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl (): boolean {
    return true
  }
}

/**
 * A LIMIT that is a bare parameter is part of SQLite's plan: it prepares the statement again each time that one is
 * bound, for half of the time of a small query.
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
