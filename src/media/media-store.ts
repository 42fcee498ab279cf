import type { Kysely, Transaction } from 'kysely'
import { randomUUID } from 'node:crypto'
import { addTo, bytesCounter, findCounter, mediaCounters, renditionBytesCounter } from '../database/counters.js'
import { engineOf } from '../database/dialect.js'
import { upsertFact } from '../database/fact-store.js'
import { fold } from '../database/fold.js'
import type { Database } from '../database/tables.js'
import { mediaOf, rowOf } from './media-row.js'
import type { Media, Visibility } from './schema.js'

/** Inserts a media. With `sharesFile`, its file was uploaded for another media. */
export async function insertMedia (
  trx: Transaction<Database>,
  media: Media,
  { sharesFile = false } = {}
): Promise<void> {
  const shared = sharesFile ? { blob_name: media.id, shared_blob: media.blobName } : {}
  await trx
    .insertInto('media')
    .values({ ...rowOf(media), ...shared })
    .execute()
  await trx
    .insertInto('view_totals')
    .values({ media_id: media.id, total_views: 0, unique_viewers: 0, revision: 0 })
    .execute()
}

export async function findMedia (db: Kysely<Database>, id: string): Promise<Media | undefined> {
  const row = await db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row && mediaOf(row)
}

export async function findAllMedia (db: Kysely<Database>, ids: string[]): Promise<Media[]> {
  if (ids.length === 0) return []
  const rows = await db.selectFrom('media').selectAll().where('id', 'in', ids).where('deleted_at', 'is', null).execute()
  return rows.map(mediaOf)
}

/**
 * Adds new (1) or deleted (-1) media to `changes`: to the totals of lists, and to the bytes of owners, of their files
 * and of their renditions.
 */
export function countMedia (
  changes: Map<string, number>,
  media: Array<Pick<Media, 'ownerId' | 'type' | 'sizeBytes' | 'rendition'>>,
  by: 1 | -1
): Map<string, number> {
  for (const one of media) {
    addTo(addTo(changes, mediaCounters(one), by), [bytesCounter(one.ownerId)], by * (one.sizeBytes ?? 0))
    addTo(changes, [renditionBytesCounter(one.ownerId)], by * (one.rendition?.file?.sizeBytes ?? 0))
  }
  return changes
}

/** Returns the bytes of an account's files. */
export const findStoredBytes = (db: Kysely<Database>, ownerId: string): Promise<number> =>
  findCounter(db, bytesCounter(ownerId))

export async function updateMedia (
  db: Kysely<Database>,
  id: string,
  change: { title?: string; visibility?: Visibility },
  now: number
): Promise<Media | undefined> {
  const row = await db
    .updateTable('media')
    .set({ ...change, ...(change.title !== undefined && { title_search: fold(change.title) }), updated_at: now })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  return row && mediaOf(row)
}

/** Finds a media and locks it until the transaction ends. */
export async function lockMedia (trx: Transaction<Database>, id: string): Promise<Media | undefined> {
  const row = await trx
    .selectFrom('media')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .executeTakeFirst()
  return row && mediaOf(row)
}

/** Counts the media that have a file. */
export async function countFiles (db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('media')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('blob_name', 'is not', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Revokes all links issued so far. Returns false if the media does not exist. */
export async function updateGeneration (db: Kysely<Database>, id: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set((set) => ({ generation: set('generation', '+', 1) }))
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Marks media as deleted, and deletes their totals, so that no further view is counted. Returns the media that existed.
 * Locks totals before media, in the order of view batches. Another order could deadlock.
 */
export async function markMediaDeleted (trx: Transaction<Database>, ids: string[], now: number): Promise<Media[]> {
  if (ids.length === 0) return []
  await trx
    .selectFrom('view_totals')
    .select('media_id')
    .where('media_id', 'in', ids)
    .orderBy('media_id')
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .execute()
  await trx.deleteFrom('view_totals').where('media_id', 'in', ids).execute()
  const rows = await trx
    .updateTable('media')
    .set({ deleted_at: now })
    .where('id', 'in', ids)
    .where('deleted_at', 'is', null)
    .returningAll()
    .execute()
  return rows.map(mediaOf)
}

/** Finds a media that is marked as deleted. */
export async function findDeletedMedia (db: Kysely<Database>, id: string): Promise<Media | undefined> {
  const row = await db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is not', null)
    .executeTakeFirst()
  return row && mediaOf(row)
}

/** Deletes the row of a media that is marked as deleted, and by cascade its job. */
export async function deleteMedia (trx: Transaction<Database>, id: string): Promise<void> {
  await trx.deleteFrom('media').where('id', '=', id).where('deleted_at', 'is not', null).execute()
}

/** Returns whether a lecture uses a media. */
export async function findLectureOf (db: Kysely<Database>, id: string): Promise<boolean> {
  return (
    (await db
      .selectFrom('lectures')
      .select('id')
      .where('media_id', '=', id)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()) !== undefined
  )
}

/**
 * Returns the names of blobs that belong to a media, and of drafts of open uploads. All other names are permanently
 * orphaned. On SQLite, the function first writes a row. A commit with a failed fsync is invisible, but a crash could
 * restore it unless a later commit overwrites it.
 */
export async function listOwnedBlobs (db: Kysely<Database>, names: string[]): Promise<Set<string>> {
  if (engineOf(db) === 'sqlite') await upsertFact(db, 'storage.last_look', randomUUID())
  const files = db.selectFrom('media').select('blob_name as name').where('blob_name', 'in', names)
  const shared = db.selectFrom('media').select('shared_blob as name').where('shared_blob', 'in', names)
  const packages = db.selectFrom('media').select('package_blob as name').where('package_blob', 'in', names)
  const posters = db.selectFrom('media').select('poster_blob as name').where('poster_blob', 'in', names)
  const renditions = db.selectFrom('media').select('rendition_blob as name').where('rendition_blob', 'in', names)
  const drafts = db
    .selectFrom('uploads')
    .select('draft_name as name')
    .where('draft_name', 'in', names)
    .where('is_open', '=', 1)
  const rows = await files.union(shared).union(packages).union(posters).union(renditions).union(drafts).execute()
  return new Set(rows.map((row) => row.name!))
}
