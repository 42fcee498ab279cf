import type { Kysely, Transaction } from 'kysely'
import type { Database, PackageIndexesTable } from '../../database/tables.js'
import type { PackageFacts, SegmentFacts } from './packager.js'
import type { StreamDescription } from './stream-description.js'

/** What is stored of a description. The size of the pictures is in the package. */
type StoredDescription = Omit<StreamDescription, 'size'>

/** For a package of an earlier version, `description` is undefined until the package is described. */
export interface StoredIndex {
  segments: SegmentFacts[]
  description: StoredDescription | undefined
  /** Null for a package of an earlier version. */
  zeroTicks: number | null
}

/** Inserts the index of a media's package, or replaces the index of an earlier package. */
export async function insertPackageIndex (
  trx: Transaction<Database>,
  mediaId: string,
  blobName: string,
  { segments, description, zeroTicks }: PackageFacts
): Promise<void> {
  const row = {
    blob_name: blobName,
    segments: JSON.stringify(segments),
    zero_ticks: zeroTicks,
    ...columnsOf(description)
  }
  await trx
    .insertInto('package_indexes')
    .values({ media_id: mediaId, ...row })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet(row))
    .execute()
}

/** Returns the index of a package. Undefined if the media has no such package. */
export async function findPackageIndex (
  db: Kysely<Database>,
  mediaId: string,
  blobName: string
): Promise<StoredIndex | undefined> {
  const row = await db
    .selectFrom('package_indexes')
    .select(['segments', 'codecs', 'frame_rate_thousandths', 'zero_ticks'])
    .where('media_id', '=', mediaId)
    .where('blob_name', '=', blobName)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const { codecs, frame_rate_thousandths: thousandths } = row
  const frameRate = thousandths === null ? null : thousandths / 1000
  return {
    segments: JSON.parse(row.segments) as SegmentFacts[],
    description: codecs === null ? undefined : { codecs, frameRate },
    zeroTicks: row.zero_ticks
  }
}

export async function updateDescription (
  db: Kysely<Database>,
  mediaId: string,
  blobName: string,
  description: StoredDescription
): Promise<void> {
  await db
    .updateTable('package_indexes')
    .set(columnsOf(description))
    .where('media_id', '=', mediaId)
    .where('blob_name', '=', blobName)
    .execute()
}

export async function deletePackageIndex (trx: Transaction<Database>, mediaId: string): Promise<void> {
  await trx.deleteFrom('package_indexes').where('media_id', '=', mediaId).execute()
}

type DescriptionColumns = Pick<PackageIndexesTable, 'codecs' | 'frame_rate_thousandths'>

function columnsOf ({ codecs, frameRate }: StoredDescription): DescriptionColumns {
  return { codecs, frame_rate_thousandths: frameRate === null ? null : Math.round(frameRate * 1000) }
}
