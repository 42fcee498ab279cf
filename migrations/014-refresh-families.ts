import type { Kysely } from 'kysely'

/**
 * Keeps one row for each session. The server recognizes an exchanged token by its family, which all tokens of the
 * session share.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('refresh_tokens').addColumn('family_hash', 'text').execute()
  await db.schema.createIndex('refresh_tokens_by_family').unique().on('refresh_tokens').column('family_hash').execute()
}
