import { sql, type Kysely } from 'kysely'

/** The tracks of a media as JSON. A job describes the files that are there already; null until it has. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('media').addColumn('tracks', 'text').execute()
  await db.schema
    .createIndex('media_undescribed')
    .on('media')
    .column('id')
    .where(sql.ref('tracks'), 'is', null)
    .where(sql.ref('blob_name'), 'is not', null)
    .where(sql.ref('deleted_at'), 'is', null)
    .execute()
}
