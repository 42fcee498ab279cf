import type { Kysely, Transaction } from 'kysely'
import { advisoryLock } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { insertMedia } from './media-store.js'
import { mediaOf } from './media-row.js'
import type { Media } from './schema.js'

/** The content of a file. `sha256` is in hex. */
export interface FileContent {
  sha256: string
  sizeBytes: number
}

/** Returns the newest media of an account that has this file. */
export async function findMediaByContent (
  db: Kysely<Database>,
  ownerId: string,
  { sha256, sizeBytes }: FileContent
): Promise<Media | undefined> {
  const row = await db
    .selectFrom('media')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .where('sha256', '=', sha256)
    .where('size_bytes', '=', sizeBytes)
    .where('blob_name', 'is not', null)
    .where('deleted_at', 'is', null)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && mediaOf(row)
}

/**
 * Inserts a media that shares the file of another media, which must not be deleted. Returns false if no media of the
 * owner has this file any more.
 */
export async function insertSharingMedia (trx: Transaction<Database>, media: Media): Promise<boolean> {
  const blobName = media.blobName!
  await lockFile(trx, blobName)
  const living = await mediaOfFile(trx, blobName).where('deleted_at', 'is', null).limit(1).executeTakeFirst()
  if (living === undefined) return false
  await insertMedia(trx, media, { sharesFile: true })
  return true
}

/**
 * Locks a file until the transaction ends, and returns whether another media has it. If none has, none will have it: a
 * new media can share a file only with a media that is not deleted.
 */
export async function lockSharedFile (
  trx: Transaction<Database>,
  { id, blobName }: Pick<Media, 'id' | 'blobName'>
): Promise<boolean> {
  if (blobName === null) return false
  await lockFile(trx, blobName)
  const other = await mediaOfFile(trx, blobName).where('id', '<>', id).limit(1).executeTakeFirst()
  return other !== undefined
}

const lockFile = (trx: Transaction<Database>, blobName: string): Promise<void> => advisoryLock(trx, `file ${blobName}`)

/** Selects the media of a file: its own media, and the media that share it. */
function mediaOfFile (trx: Transaction<Database>, blobName: string) {
  return trx
    .selectFrom('media')
    .select('id')
    .where(({ eb, or }) => or([eb('blob_name', '=', blobName), eb('shared_blob', '=', blobName)]))
}
