import type { Kysely } from 'kysely'

/** One row a session: the tokens that were exchanged are known by the family that they share with the present one. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('refresh_tokens').addColumn('family_hash', 'text').execute()
  await db.schema.createIndex('refresh_tokens_by_family').unique().on('refresh_tokens').column('family_hash').execute()
}
