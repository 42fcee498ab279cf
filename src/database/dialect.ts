import { SqliteAdapter, sql, type Kysely, type Transaction } from 'kysely'
import type { Database } from './tables.js'

/** Returns the engine of a Kysely. */
export function engineOf (db: Kysely<Database>): 'sqlite' | 'postgres' {
  return db.getExecutor().adapter instanceof SqliteAdapter ? 'sqlite' : 'postgres'
}

/**
 * Takes a named lock until the transaction ends, so that only one transaction at a time reads and then writes. On
 * SQLite, BEGIN IMMEDIATE already ensures this.
 */
export async function advisoryLock (trx: Transaction<Database>, name: string): Promise<void> {
  if (engineOf(trx) === 'sqlite') return
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx)
}

/**
 * Runs a transaction that does not wait for an fsync, which on SQLite would block the event loop. A power cut may undo
 * the transaction in the next second, but never a part of it. Use it only for data that may be lost, never for data
 * that a 201 confirms. (SQLite: synchronous=NORMAL in WAL mode; Postgres: synchronous_commit=off.)
 */
export async function nonDurableTransaction<T> (
  db: Kysely<Database>,
  work: (trx: Transaction<Database>) => Promise<T>
): Promise<T> {
  if (engineOf(db) === 'postgres') {
    return await db.transaction().execute(async (trx) => {
      await sql`set local synchronous_commit = off`.execute(trx)
      return await work(trx)
    })
  }
  return await db.connection().execute(async (connection) => {
    await sql`pragma synchronous = normal`.execute(connection)
    try {
      return await connection.transaction().execute(work)
    } finally {
      await sql`pragma synchronous = full`.execute(connection)
    }
  })
}

/**
 * Returns the unique constraint or the columns that a failed write violated, in the words of the engine. Undefined for
 * other errors.
 */
export function uniqueViolation (error: unknown): string | undefined {
  const { code, constraint, message } = error as { code?: string; constraint?: string; message?: string }
  if (code === '23505') return constraint ?? ''
  if (code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY') return message ?? ''
  return undefined
}

/**
 * Returns whether a write failed because another row still references this row, or because a referenced row is missing.
 */
export function foreignKeyViolation (error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === '23503' || code === 'SQLITE_CONSTRAINT_FOREIGNKEY'
}

/** Error codes of Postgres (SQLSTATE), of the system and of SQLite. */
const UNAVAILABLE_CODES = new RegExp(
  '^(08|53|57P|57014|58|25P03|25006|40001|40P01|' +
    'ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_|ENOTFOUND|' +
    'SQLITE_(BUSY|IOERR|FULL|CANTOPEN|READONLY))'
)
/** Errors of pg that have no code. */
const UNAVAILABLE_MESSAGES = new RegExp(
  '^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|' +
    'Client has encountered a connection error|Client was closed|' +
    'server closed the connection|Cannot use a pool after)',
  'i'
)

/** Returns whether an error means that the database was unavailable. False if the database refused the statement. */
export function isUnavailable (error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return UNAVAILABLE_CODES.test(code) || UNAVAILABLE_MESSAGES.test(message)
}

/** Returns whether SQLite reports a damaged file. */
export function isDamaged (error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test((error as { code?: string }).code ?? '')
}

/** Returns whether the disk of the database is full. */
export function isDatabaseFull (error: unknown): boolean {
  return ['53100', 'SQLITE_FULL'].includes((error as { code?: string }).code ?? '')
}

/**
 * Returns whether a transaction that failed with this error may still be committed. The response may be lost. On
 * SQLite, the transaction may be complete in the log, although its fsync failed. It then takes effect if the process
 * dies before another transaction overwrites it.
 */
export function isInDoubt (error: unknown): boolean {
  if (isDamaged(error)) return true
  return (
    isUnavailable(error) &&
    !/^(53|57014|25|40001|40P01|SQLITE_(BUSY|FULL|CANTOPEN|READONLY))/.test((error as { code?: string }).code ?? '')
  )
}
