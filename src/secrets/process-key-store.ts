import { sql, type Kysely } from 'kysely'
import { engineOf } from '../database/dialect.js'
import type { Database } from '../database/tables.js'

/** The public ids of the secrets of a running process. */
export interface ProcessKeys {
  id: string
  currentKey: string
  knownKeys: string[]
}

/** Inserts a process, or renews its row. The time is that of the database's clock, which all processes share. */
export async function upsertProcessKeys (db: Kysely<Database>, keys: ProcessKeys): Promise<void> {
  const row = { id: keys.id, current_key: keys.currentKey, known_keys: keys.knownKeys.join(' '), seen_at: clockOf(db) }
  await db
    .insertInto('server_processes')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ seen_at: row.seen_at }))
    .execute()
}

/** Lists the announced processes, except one process. */
export async function listOtherProcessKeys (db: Kysely<Database>, id: string): Promise<ProcessKeys[]> {
  const rows = await db.selectFrom('server_processes').selectAll().where('id', '<>', id).execute()
  return rows.map((row) => ({ id: row.id, currentKey: row.current_key, knownKeys: row.known_keys.split(' ') }))
}

export async function deleteProcessKeys (db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('server_processes').where('id', '=', id).execute()
}

export async function deleteAllProcessKeys (db: Kysely<Database>): Promise<void> {
  await db.deleteFrom('server_processes').execute()
}

/** Deletes processes that were last seen `maxAgeMs` ago, or that a wrong clock dated that far into the future. */
export async function deleteStaleProcessKeys (db: Kysely<Database>, maxAgeMs: number): Promise<void> {
  const clock = clockOf(db)
  await db
    .deleteFrom('server_processes')
    .where(({ eb, or }) =>
      or([
        eb('seen_at', '<', sql<number>`${clock} - ${maxAgeMs}`),
        eb('seen_at', '>', sql<number>`${clock} + ${maxAgeMs}`)
      ])
    )
    .execute()
}

/** Returns the clock of the database, in epoch milliseconds. */
function clockOf (db: Kysely<Database>) {
  return engineOf(db) === 'postgres'
    ? sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`
    : sql<number>`cast((julianday('now') - 2440587.5) * 86400000 as integer)`
}
