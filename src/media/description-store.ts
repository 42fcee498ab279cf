import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import type { Probed } from './media-formats.js'

/** A file that was stored by a version without descriptions of tracks. */
export interface UndescribedFile {
  mediaId: string
  blobName: string
}

/** Lists files without a description, by the id of their media. */
export async function listUndescribed (
  db: Kysely<Database>,
  afterId: string,
  limit: number
): Promise<UndescribedFile[]> {
  const rows = await undescribed(db, afterId, limit).execute()
  return rows.map((row) => ({ mediaId: row.id, blobName: (row.shared_blob ?? row.blob_name)! }))
}

/** Follows the index of files without a description, which is empty on most days. */
export function undescribed (db: Kysely<Database>, afterId: string, limit: number) {
  return db
    .selectFrom('media')
    .select(['id', 'blob_name', 'shared_blob'])
    .where('tracks', 'is', null)
    .where('blob_name', 'is not', null)
    .where('deleted_at', 'is', null)
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(limit)
}

/** Replaces what is known of a file. A known duration stays if the description has none. */
export async function updateDescription (
  trx: Transaction<Database>,
  id: string,
  { tracks, codecs, playableEverywhere, durationMs, width, height }: Omit<Probed, 'type' | 'contentType'>
): Promise<void> {
  await trx
    .updateTable('media')
    .set({
      tracks: JSON.stringify(tracks),
      codecs: JSON.stringify(codecs),
      width,
      height,
      playable_everywhere: playableEverywhere === null ? null : Number(playableEverywhere),
      ...(durationMs !== null && { duration_ms: durationMs })
    })
    .where('id', '=', id)
    .execute()
}

/** Records that a file cannot be described. Everything else that is known of it stays. */
export async function updateUndescribable (db: Kysely<Database>, id: string): Promise<void> {
  await db.updateTable('media').set({ tracks: '[]' }).where('id', '=', id).where('tracks', 'is', null).execute()
}
