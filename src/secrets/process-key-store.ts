import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'

/** The secrets of one running process, by their public ids. */
export interface ProcessKeys {
  id: string
  currentKey: string
  knownKeys: string[]
}

export async function insertProcessKeys (db: Kysely<Database>, keys: ProcessKeys, now: number): Promise<void> {
  const row = { id: keys.id, current_key: keys.currentKey, known_keys: keys.knownKeys.join(' '), seen_at: now }
  await db
    .insertInto('server_processes')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ seen_at: now }))
    .execute()
}

/** The processes seen after a moment. */
export async function listProcessKeys (db: Kysely<Database>, seenAfter: number): Promise<ProcessKeys[]> {
  const rows = await db.selectFrom('server_processes').selectAll().where('seen_at', '>', seenAfter).execute()
  return rows.map((row) => ({ id: row.id, currentKey: row.current_key, knownKeys: row.known_keys.split(' ') }))
}

export async function deleteProcessKeys (db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('server_processes').where('id', '=', id).execute()
}

/** Deletes the processes that were not seen after a moment. */
export async function deleteProcessKeysBefore (db: Kysely<Database>, seenAfter: number): Promise<void> {
  await db.deleteFrom('server_processes').where('seen_at', '<=', seenAfter).execute()
}
