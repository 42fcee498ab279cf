import { sql, type Kysely } from 'kysely'

/**
 * A media may share the file of another media: `shared_blob` is then the name of the file, and `blob_name` is only a
 * unique value. The indexes find the media of a file, and the file of an account by its content.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('media').addColumn('shared_blob', 'text').execute()
  await db.schema
    .createIndex('media_by_shared_blob')
    .on('media')
    .column('shared_blob')
    .where(sql.ref('shared_blob'), 'is not', null)
    .execute()
  await db.schema
    .createIndex('media_by_content')
    .on('media')
    .columns(['owner_id', 'sha256'])
    .where(sql.ref('sha256'), 'is not', null)
    .execute()
}
