import type SQLite from 'better-sqlite3'
import { CompiledQuery, SelectQueryNode, type DatabaseConnection, type Driver, type QueryResult } from 'kysely'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OnDamage } from './damage-watch.js'
import { isDamaged } from './dialect.js'

/** Maximum time that a statement waits for a lock of another connection. */
const BUSY_DEADLINE_MS = 10_000
/** The delays of SQLite's own busy handler. The last delay repeats. */
const BUSY_WAITS_MS = [1, 2, 5, 10, 15, 20, 25]

/** The two connections. Reads outside of a transaction use `reader`: they see no uncommitted data, and never wait. */
export interface SqliteConnections {
  writer: SQLite.Database
  reader: SQLite.Database
}

/**
 * A SQLite driver for an event loop. Writes and transactions take turns on one connection. Reads outside of a
 * transaction use another connection, which sees only committed data. The wait for a lock of a worker or another
 * process is asynchronous, so other requests continue.
 */
export class SqliteDriver implements Driver {
  readonly #open: () => Promise<SqliteConnections>
  readonly #onDamage: OnDamage
  #connections: SqliteConnections | undefined
  readonly #turns = new Turns()

  constructor (open: () => Promise<SqliteConnections>, onDamage: OnDamage) {
    this.#open = open
    this.#onDamage = onDamage
  }

  async init (): Promise<void> {
    this.#connections = await this.#open()
  }

  async acquireConnection (): Promise<DatabaseConnection> {
    return new Lease(this.#connections!, this.#turns, this.#onDamage)
  }

  /** A deferred transaction that reads and then writes would fail with SQLITE_BUSY_SNAPSHOT, even after a long wait. */
  async beginTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  /**
   * After some errors, such as a full disk, SQLite has already rolled back. A failed rollback must not hide such an
   * error.
   */
  async rollbackTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback')).catch((error: Error) => {
      if (!error.message.includes('no transaction is active')) throw error
    })
  }

  async releaseConnection (connection: DatabaseConnection): Promise<void> {
    ;(connection as Lease).release()
  }

  /** Closes the writer last, because the last connection writes the log back into the file. */
  async destroy (): Promise<void> {
    this.#connections?.reader.close()
    this.#connections?.writer.close()
  }
}

/**
 * One user of the connections, from acquire to release. It has the turn from its first statement that is not a plain
 * read.
 */
class Lease implements DatabaseConnection {
  readonly #connections: SqliteConnections
  readonly #turns: Turns
  readonly #onDamage: OnDamage
  #hasTurn = false

  constructor (connections: SqliteConnections, turns: Turns, onDamage: OnDamage) {
    this.#connections = connections
    this.#turns = turns
    this.#onDamage = onDamage
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      return await this.#execute<R>(query)
    } catch (error) {
      if (isDamaged(error)) this.#onDamage(error as Error)
      throw error
    }
  }

  async #execute<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (!this.#hasTurn) {
      if (SelectQueryNode.is(query.query)) return await run<R>(this.#connections.reader, query)
      const turn = this.#turns.take()
      if (turn !== undefined) await turn
      this.#hasTurn = true
    }
    return await run<R>(this.#connections.writer, query)
  }

  async * streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streamed queries are not supported on SQLite')
  }

  release (): void {
    if (this.#hasTurn) this.#turns.pass()
    this.#hasTurn = false
  }
}

/** A queue of users of the writer: first come, first served. */
class Turns {
  #taken = false
  readonly #waiting: Array<() => void> = []

  /** Takes the turn. Returns undefined if the turn was free, else a promise that resolves when the turn begins. */
  take (): Promise<void> | undefined {
    if (this.#taken) {
      return new Promise((resolve) => {
        this.#waiting.push(resolve)
      })
    }
    this.#taken = true
    return undefined
  }

  pass (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken = false
    else next()
  }
}

/**
 * Runs a statement. A statement that a lock stopped outside of a transaction has changed nothing, so it is retried
 * until the deadline.
 */
async function run<R> (file: SQLite.Database, query: CompiledQuery): Promise<QueryResult<R>> {
  try {
    return execute<R>(file, query)
  } catch (error) {
    if (!isBusy(error) || file.inTransaction) throw error
  }
  const deadline = performance.now() + BUSY_DEADLINE_MS
  for (let tries = 0; ; tries++) {
    await sleep(BUSY_WAITS_MS[Math.min(tries, BUSY_WAITS_MS.length - 1)])
    try {
      return execute<R>(file, query)
    } catch (error) {
      if (!isBusy(error) || file.inTransaction || performance.now() > deadline) throw error
    }
  }
}

function execute<R> (file: SQLite.Database, { sql, parameters }: CompiledQuery): QueryResult<R> {
  const statement = file.prepare(sql)
  if (statement.reader) return { rows: statement.all(parameters) as R[] }
  const { changes, lastInsertRowid } = statement.run(parameters)
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
}

function isBusy (error: unknown): boolean {
  return (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true
}
