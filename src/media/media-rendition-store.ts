import type { Kysely, Transaction, Updateable } from 'kysely'
import { addToCounters, renditionBytesCounter } from '../database/counters.js'
import type { Database, MediaTable } from '../database/tables.js'
import { mediaOf, renditionColumns } from './media-row.js'
import { WAITING, type RenditionFile } from './rendition.js'
import type { Media } from './schema.js'

/** Sets the rendition of a media to waiting. Returns false if the media does not exist, or has a ready rendition. */
export async function updateRenditionWaiting (trx: Transaction<Database>, id: string): Promise<boolean> {
  return await change(trx, id, renditionColumns(WAITING))
}

/** Clears the rendition of a media, unless it is ready. */
export async function clearRendition (db: Kysely<Database>, id: string): Promise<void> {
  await change(db, id, renditionColumns(null))
}

async function change (db: Kysely<Database>, id: string, columns: Updateable<MediaTable>): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set(columns)
    .where('id', '=', id)
    .where('rendition_blob', 'is', null)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** The progress of a rendition in percent, or the reason of its failure. */
type RenditionState = { progress: number } | { error: NonNullable<Media['error']> }

/** Records the progress or the failure of a pending rendition. Returns false if no rendition is pending. */
export async function updateRendition (db: Kysely<Database>, id: string, state: RenditionState): Promise<boolean> {
  const columns =
    'error' in state
      ? renditionColumns({ ...WAITING, status: 'failed', error: state.error })
      : renditionColumns({ ...WAITING, status: 'processing', progress: state.progress })
  return await updatePending(db, id, columns)
}

/** Makes a pending rendition ready, and counts its bytes. Returns false if no rendition is pending. */
export async function updateRenditionReady (
  trx: Transaction<Database>,
  { id, ownerId }: Pick<Media, 'id' | 'ownerId'>,
  file: RenditionFile
): Promise<boolean> {
  const columns = renditionColumns({ status: 'ready', progress: 100, file, error: null })
  if (!(await updatePending(trx, id, columns))) return false
  await addToCounters(trx, new Map([[renditionBytesCounter(ownerId), file.sizeBytes]]))
  return true
}

/** A media that became protected meanwhile needs no rendition. */
async function updatePending (db: Kysely<Database>, id: string, columns: Updateable<MediaTable>): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set(columns)
    .where('id', '=', id)
    .where('rendition_status', 'in', ['waiting', 'processing'])
    .where('protection', '=', 'none')
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Lists media that common browsers do not play and that have no ready rendition, in the order of their ids. */
export async function listWithoutRendition (
  db: Kysely<Database>,
  afterId: string | undefined,
  limit: number
): Promise<Media[]> {
  const rows = await db
    .selectFrom('media')
    .selectAll()
    .where('playable_everywhere', '=', 0)
    .where('rendition_blob', 'is', null)
    .where('deleted_at', 'is', null)
    .$if(afterId !== undefined, (query) => query.where('id', '>', afterId!))
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(mediaOf)
}
