import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import type { SegmentFacts } from './packager.js'

/** Stores the index of a media's package, in place of the index of an earlier one. */
export async function insertPackageIndex (
  trx: Transaction<Database>,
  mediaId: string,
  blobName: string,
  segments: SegmentFacts[]
): Promise<void> {
  const row = { blob_name: blobName, segments: JSON.stringify(segments) }
  await trx.insertInto('package_indexes').values({ media_id: mediaId, ...row })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet(row)).execute()
}

/** The segments of a package; undefined if its media has no such package. */
export async function findPackageIndex (
  db: Kysely<Database>,
  mediaId: string,
  blobName: string
): Promise<SegmentFacts[] | undefined> {
  const row = await db.selectFrom('package_indexes').select('segments')
    .where('media_id', '=', mediaId).where('blob_name', '=', blobName).executeTakeFirst()
  return row && JSON.parse(row.segments) as SegmentFacts[]
}

export async function deletePackageIndex (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('package_indexes').where('media_id', '=', mediaId).execute()
}
