import { sql, SqliteAdapter, type Kysely } from 'kysely'

/**
 * A media that common browsers do not play gets a rendition that they play. `playable_everywhere` is null until the
 * file is described. Old processes insert media without these columns.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'text' : 'uuid'

  await db.schema.alterTable('media').addColumn('playable_everywhere', 'integer').execute()
  await db.schema.alterTable('media').addColumn('rendition_status', 'text').execute()
  await db.schema.alterTable('media').addColumn('rendition_progress', 'integer').execute()
  await db.schema.alterTable('media').addColumn('rendition_blob', 'text').execute()
  await db.schema.alterTable('media').addColumn('rendition_facts', 'text').execute()
  await db.schema.createIndex('media_by_rendition').on('media').column('rendition_blob').execute()
  await db.schema
    .createIndex('media_without_rendition')
    .on('media')
    .column('id')
    .where(sql.ref('playable_everywhere'), '=', 0)
    .where(sql.ref('rendition_blob'), 'is', null)
    .execute()

  // The job of a rendition stands beside the job that packages the same media.
  await db.schema
    .alterTable('jobs')
    .addColumn('rendition_of', id, (column) => column.references('media.id').onDelete('cascade'))
    .execute()
  await db.schema.createIndex('jobs_by_rendition').unique().on('jobs').column('rendition_of').execute()
}
