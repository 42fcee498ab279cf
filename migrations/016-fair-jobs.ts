import { SqliteAdapter, type Kysely } from 'kysely'

/** Accounts take turns: a hundred jobs of one account do not delay the first job of another account. */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'
  await db.schema.alterTable('jobs').addColumn('owner_id', id).execute()
  await db.schema
    .alterTable('jobs')
    .addColumn('turn', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await db.schema.dropIndex('jobs_due').execute()
  await db.schema.createIndex('jobs_due').on('jobs').columns(['kind', 'attempts', 'turn', 'run_after']).execute()
  await db.schema.createIndex('jobs_by_turn').on('jobs').columns(['kind', 'turn']).execute()
  await db.schema.createIndex('jobs_by_owner').on('jobs').columns(['kind', 'owner_id', 'turn']).execute()
}
