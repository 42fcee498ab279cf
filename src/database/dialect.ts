import { SqliteAdapter, sql, type Kysely, type Transaction } from 'kysely'
import type { Database } from './tables.js'

/** Which engine a Kysely speaks to. */
export function engineOf (db: Kysely<Database>): 'sqlite' | 'postgres' {
  return db.getExecutor().adapter instanceof SqliteAdapter ? 'sqlite' : 'postgres'
}

/**
 * Holds a named lock until the transaction ends, so that only one at a time is between its read and its write. On SQLite
 * BEGIN IMMEDIATE has done it already.
 */
export async function lockName (trx: Transaction<Database>, name: string): Promise<void> {
  if (engineOf(trx) === 'sqlite') return
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx)
}

/** The name of the unique constraint or column set that a failed write hit, as the engine words it; undefined for other errors. */
export function uniqueViolation (error: unknown): string | undefined {
  const { code, constraint, message } = error as { code?: string, constraint?: string, message?: string }
  if (code === '23505') return constraint ?? ''
  if (code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY') return message ?? ''
  return undefined
}

/** Whether a write failed because another row still refers to this one, or the one it refers to is gone. */
export function foreignKeyViolation (error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === '23503' || code === 'SQLITE_CONSTRAINT_FOREIGNKEY'
}

/** Whether an error means that the database could not be asked at all, rather than that it refused. */
export function isUnavailable (error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string, message?: string }
  return /^(08|53|57P|57014|25P03|40001|40P01|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_|ENOTFOUND|SQLITE_BUSY|SQLITE_IOERR|SQLITE_FULL)/.test(code) ||
    /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|server closed the connection|Cannot use a pool after)/i.test(message)
}
