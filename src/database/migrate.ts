import { Migrator, type Kysely, type Migration } from 'kysely'
import type { Database } from './tables.js'

/**
 * Brings the schema to the newest migration, each in a transaction. Any number of processes may do so at once: Kysely takes an
 * advisory lock on Postgres, and BEGIN IMMEDIATE makes the others wait on SQLite. Returns the names of those it ran.
 */
export async function migrate (db: Kysely<Database>, migrations: Record<string, Migration>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error, results } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
  return (results ?? []).map((result) => result.migrationName)
}
