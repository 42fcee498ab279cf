import { Migrator, type Kysely, type Migration } from 'kysely'
import type { Database } from './tables.js'

/**
 * Runs all pending migrations, in one transaction. Several processes may do this at once: Kysely takes an advisory lock
 * on Postgres, and BEGIN IMMEDIATE makes the other processes wait on SQLite. Returns the names of the executed
 * migrations.
 */
export async function migrate (db: Kysely<Database>, migrations: Record<string, Migration>): Promise<string[]> {
  const { error, results } = await migratorOf(db, migrations).migrateToLatest()
  if (error !== undefined) throw error
  return (results ?? []).map((result) => result.migrationName)
}

/** Returns the names of the migrations that have not run. */
export async function pendingMigrations (
  db: Kysely<Database>,
  migrations: Record<string, Migration>
): Promise<string[]> {
  const all = await migratorOf(db, migrations).getMigrations()
  return all.filter((migration) => migration.executedAt === undefined).map((migration) => migration.name)
}

function migratorOf (db: Kysely<Database>, migrations: Record<string, Migration>): Migrator {
  return new Migrator({ db, provider: { getMigrations: async () => migrations } })
}
