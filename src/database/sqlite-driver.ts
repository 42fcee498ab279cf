import type SQLite from 'better-sqlite3'
import { CompiledQuery, SelectQueryNode, type DatabaseConnection, type Driver, type QueryResult } from 'kysely'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OnDamage } from './damage-watch.js'
import { isDamaged } from './dialect.js'

/** How long a statement waits for a lock that another connection holds. */
const BUSY_DEADLINE_MS = 10_000
/** As SQLite's own busy handler waits; the last one from there on. */
const BUSY_WAITS_MS = [1, 2, 5, 10, 15, 20, 25]

/** The two connections: transactions see only their own writes, and reads outside of them wait for nobody. */
export interface SqliteConnections {
  writer: SQLite.Database
  reader: SQLite.Database
}

/**
 * SQLite for an event loop. Writes and transactions share one connection and take turns. Reads outside of a transaction
 * have another, which sees what is committed. Where a lock is held by a worker or another process, the wait is
 * asynchronous: other requests go on.
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

  /** Deferred, a transaction that reads and then writes would fail with SQLITE_BUSY_SNAPSHOT, however long it waits. */
  async beginTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  /** After some errors, a full disk among them, SQLite has rolled back by itself; that must not hide the error. */
  async rollbackTransaction (connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback')).catch((error: Error) => {
      if (!error.message.includes('no transaction is active')) throw error
    })
  }

  async releaseConnection (connection: DatabaseConnection): Promise<void> {
    ;(connection as Lease).release()
  }

  /** The writer last: who closes last writes the log back into the file. */
  async destroy (): Promise<void> {
    this.#connections?.reader.close()
    this.#connections?.writer.close()
  }
}

/**
 * One user of the connections, from acquire to release. Has the turn from its first statement that is no plain read.
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

/** First come, first served. */
class Turns {
  #taken = false
  readonly #waiting: Array<() => void> = []

  /** Undefined where nobody has the turn. */
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

/** Outside of a transaction a statement that met a lock has done nothing, and is repeated until the deadline. */
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
