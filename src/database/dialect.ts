import { SqliteAdapter, sql, type Kysely, type Transaction } from 'kysely'
import type { Database } from './tables.js'

/** Which engine a Kysely speaks to. */
export function engineOf (db: Kysely<Database>): 'sqlite' | 'postgres' {
  return db.getExecutor().adapter instanceof SqliteAdapter ? 'sqlite' : 'postgres'
}

/**
 * Holds a named lock until the transaction ends, so that only one at a time is between its read and its write. On
 * SQLite BEGIN IMMEDIATE has done it already.
 */
export async function lockName (trx: Transaction<Database>, name: string): Promise<void> {
  if (engineOf(trx) === 'sqlite') return
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx)
}

/**
 * A transaction that a power cut may undo in the second after it, though never by half: it waits for no fsync, which on
 * SQLite would hold the event loop. For what its owner would not miss, never for what a 201 promises. (SQLite:
 * synchronous=NORMAL in WAL mode; Postgres: synchronous_commit=off.)
 */
export async function relaxedTransaction<T> (
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
 * The name of the unique constraint or column set that a failed write hit, as the engine words it; undefined for other
 * errors.
 */
export function uniqueViolation (error: unknown): string | undefined {
  const { code, constraint, message } = error as { code?: string; constraint?: string; message?: string }
  if (code === '23505') return constraint ?? ''
  if (code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY') return message ?? ''
  return undefined
}

/** Whether a write failed because another row still refers to this one, or the one it refers to is gone. */
export function foreignKeyViolation (error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === '23503' || code === 'SQLITE_CONSTRAINT_FOREIGNKEY'
}

/** Codes of Postgres (SQLSTATE), of the system and of SQLite. */
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

/** Whether an error means that the database could not do its work at all, rather than that it refused. */
export function isUnavailable (error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return UNAVAILABLE_CODES.test(code) || UNAVAILABLE_MESSAGES.test(message)
}

/** Whether SQLite found its file damaged. */
export function isDamaged (error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test((error as { code?: string }).code ?? '')
}

/** Whether the database's disk is full. */
export function isDatabaseFull (error: unknown): boolean {
  return ['53100', 'SQLITE_FULL'].includes((error as { code?: string }).code ?? '')
}

/**
 * Whether a transaction that failed with this may be committed all the same: its answer was lost, or (SQLite) it stands
 * in the log whole, but its fsync failed, so that it comes back if the process dies before another transaction
 * overwrites it.
 */
export function isInDoubt (error: unknown): boolean {
  if (isDamaged(error)) return true
  return (
    isUnavailable(error) &&
    !/^(53|57014|25|40001|40P01|SQLITE_(BUSY|FULL|CANTOPEN|READONLY))/.test((error as { code?: string }).code ?? '')
  )
}
