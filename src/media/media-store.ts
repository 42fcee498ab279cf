import type { Kysely, Selectable, Transaction } from 'kysely'
import { randomUUID } from 'node:crypto'
import { addTo, bytesCounter, findCounter, mediaCounters } from '../database/counters.js'
import { engineOf } from '../database/dialect.js'
import { upsertFact } from '../database/fact-store.js'
import { fold } from '../database/fold.js'
import type { Database, MediaTable } from '../database/tables.js'
import type { Media, MuxNames, Protection, ProviderName, Visibility } from './schema.js'

export async function insertMedia (trx: Transaction<Database>, media: Media): Promise<void> {
  await trx.insertInto('media').values(rowOf(media)).execute()
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
 * Adds what media change in the totals of lists and the bytes of their owners: `by` 1 for new ones, -1 for deleted
 * ones.
 */
export function countMedia (
  changes: Map<string, number>,
  media: Array<Pick<Media, 'ownerId' | 'type' | 'sizeBytes'>>,
  by: 1 | -1
): Map<string, number> {
  for (const one of media) {
    addTo(addTo(changes, mediaCounters(one), by), [bytesCounter(one.ownerId)], by * (one.sizeBytes ?? 0))
  }
  return changes
}

/** Bytes that an account's files take. */
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

/**
 * Turns protection on, by a provider, or off: what was made by the last one is forgotten. One that is as asked stays as
 * it is, unless it failed: then it is tried again. Returns the media as it was before, and whether it was changed;
 * undefined if it is gone.
 */
export async function updateProtection (
  trx: Transaction<Database>,
  id: string,
  protection: Protection,
  provider: ProviderName,
  now: number
): Promise<{ before: Media; changed: boolean } | undefined> {
  const before = await lockMedia(trx, id)
  if (before === undefined) return undefined
  if (before.protection === protection && before.status !== 'failed') return { before, changed: false }
  await trx
    .updateTable('media')
    .set({
      protection,
      status: protection === 'encrypted' ? 'processing' : 'ready',
      progress: protection === 'encrypted' ? 0 : 100,
      error_code: null,
      error_message: null,
      package_blob: null,
      content_key: null,
      provider: protection === 'encrypted' ? provider : 'local',
      mux_upload_id: null,
      mux_asset_id: null,
      mux_playback_id: null,
      mux_policy: null,
      updated_at: now
    })
    .where('id', '=', id)
    .execute()
  return { before, changed: true }
}

/** Writes down how packaging goes, while the media still waits for it. False if it does not any more. */
export async function updatePackaging (
  db: Kysely<Database>,
  id: string,
  outcome: { progress: number } | { error: NonNullable<Media['error']> } | { packaged: NonNullable<Media['packaged']> }
): Promise<boolean> {
  const change =
    'progress' in outcome
      ? { progress: outcome.progress }
      : 'error' in outcome
        ? { status: 'failed' as const, error_code: outcome.error.code, error_message: outcome.error.message }
        : {
            status: 'ready' as const,
            progress: 100,
            package_blob: outcome.packaged.blobName,
            content_key: outcome.packaged.contentKey
          }
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set(change)
    .where('id', '=', id)
    .where('status', '=', 'processing')
    .where('deleted_at', 'is', null)
    // Protected again since, by another provider: what was made here is nothing to it.
    .$if(!('progress' in outcome), (query) => query.where('provider', '=', 'local'))
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Starts or forgets the upload of a media to Mux, while it waits for it and `expected` is its upload still. False if
 * that is not so any more.
 */
export async function updateMuxUpload (
  db: Kysely<Database>,
  id: string,
  expected: string | null,
  upload: (Pick<MuxNames, 'policy'> & { uploadId: string }) | null
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set({ mux_upload_id: upload?.uploadId ?? null, mux_policy: upload?.policy ?? null })
    .where('id', '=', id)
    .where('provider', '=', 'mux')
    .where('status', '=', 'processing')
    .where('deleted_at', 'is', null)
    .where('mux_upload_id', expected === null ? 'is' : '=', expected)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** The id of the media that an upload at Mux is for. */
export async function findMediaOfMuxUpload (db: Kysely<Database>, uploadId: string): Promise<string | undefined> {
  return (
    await db
      .selectFrom('media')
      .select('id')
      .where('mux_upload_id', '=', uploadId)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
  )?.id
}

/** A media, locked until the transaction ends. */
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

/** Writes down what Mux says of a media's asset. */
export async function updateMuxAsset (
  trx: Transaction<Database>,
  id: string,
  { assetId, playbackId }: { assetId: string; playbackId?: string | undefined }
): Promise<void> {
  await trx
    .updateTable('media')
    .set({ mux_asset_id: assetId, ...(playbackId !== undefined && { mux_playback_id: playbackId }) })
    .where('id', '=', id)
    .execute()
}

/** How a media at Mux stands from now on; `durationMs` where Mux told one. */
export async function updateMuxOutcome (
  trx: Transaction<Database>,
  id: string,
  outcome: { durationMs: number | null } | { error: NonNullable<Media['error']> },
  now: number
): Promise<void> {
  const change =
    'error' in outcome
      ? { status: 'failed' as const, error_code: outcome.error.code, error_message: outcome.error.message }
      : {
          status: 'ready' as const,
          progress: 100,
          ...(outcome.durationMs !== null && { duration_ms: outcome.durationMs })
        }
  await trx
    .updateTable('media')
    .set({ ...change, updated_at: now })
    .where('id', '=', id)
    .execute()
}

/** How many media have a file. */
export async function countFiles (db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('media')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('blob_name', 'is not', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** How many media are played by Mux. */
export async function countMuxMedia (db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('media')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('provider', '=', 'mux')
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Keeps the picture of a media that has none. False if it is gone, or has one. */
export async function updatePoster (db: Kysely<Database>, id: string, blobName: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set({ poster_blob: blobName })
    .where('id', '=', id)
    .where('poster_blob', 'is', null)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Kills the links minted so far. False if there is no such media. */
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
 * Hides media from everybody: of each the row is marked, and the totals go, so that no view is counted any more.
 * Returns those that were there. Locks in the order of view batches, totals first, so that neither waits for the other
 * forever.
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

/** A media that is marked as deleted, and not yet removed. */
export async function findDeletedMedia (db: Kysely<Database>, id: string): Promise<Media | undefined> {
  const row = await db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', id)
    .where('deleted_at', 'is not', null)
    .executeTakeFirst()
  return row && mediaOf(row)
}

/** Removes the row of a media that is marked as deleted, and with it its job. */
export async function deleteMedia (trx: Transaction<Database>, id: string): Promise<void> {
  await trx.deleteFrom('media').where('id', '=', id).where('deleted_at', 'is not', null).execute()
}

/** Whether a lecture uses a media. */
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
 * Which of these blob names belong to a media; the others never will. On SQLite it writes first: a commit whose fsync
 * failed stands in the log, unseen, and would come back with a crash; what is committed after it overwrites it.
 */
export async function listOwnedBlobs (db: Kysely<Database>, names: string[]): Promise<Set<string>> {
  if (engineOf(db) === 'sqlite') await upsertFact(db, 'storage.last_look', randomUUID())
  const files = db.selectFrom('media').select('blob_name as name').where('blob_name', 'in', names)
  const packages = db.selectFrom('media').select('package_blob as name').where('package_blob', 'in', names)
  const posters = db.selectFrom('media').select('poster_blob as name').where('poster_blob', 'in', names)
  const rows = await files.union(packages).union(posters).execute()
  return new Set(rows.map((row) => row.name!))
}

function rowOf (media: Media): MediaTable {
  return {
    id: media.id,
    owner_id: media.ownerId,
    title: media.title,
    title_search: fold(media.title),
    type: media.type,
    visibility: media.visibility,
    status: media.status,
    file_url: media.fileUrl,
    blob_name: media.blobName,
    content_type: media.contentType,
    size_bytes: media.sizeBytes,
    sha256: media.sha256,
    duration_ms: media.durationMs,
    width: media.width,
    height: media.height,
    codecs: JSON.stringify(media.codecs),
    generation: media.generation,
    protection: media.protection,
    progress: media.progress,
    error_code: media.error?.code ?? null,
    error_message: media.error?.message ?? null,
    package_blob: media.packaged?.blobName ?? null,
    content_key: media.packaged?.contentKey ?? null,
    poster_blob: media.posterBlob,
    provider: media.provider,
    mux_upload_id: media.mux?.uploadId ?? null,
    mux_asset_id: media.mux?.assetId ?? null,
    mux_playback_id: media.mux?.playbackId ?? null,
    mux_policy: media.mux?.policy ?? null,
    created_at: media.createdAt,
    updated_at: media.updatedAt,
    deleted_at: null
  }
}

export function mediaOf (row: Selectable<MediaTable>): Media {
  return {
    id: row.id,
    ownerId: row.owner_id,
    title: row.title,
    type: row.type,
    visibility: row.visibility,
    status: row.status,
    fileUrl: row.file_url,
    blobName: row.blob_name,
    contentType: row.content_type,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    durationMs: row.duration_ms,
    width: row.width,
    height: row.height,
    codecs: JSON.parse(row.codecs) as string[],
    generation: row.generation,
    protection: row.protection,
    progress: row.progress,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    packaged: row.package_blob === null ? null : { blobName: row.package_blob, contentKey: row.content_key! },
    posterBlob: row.poster_blob,
    provider: row.provider,
    mux:
      row.mux_policy === null
        ? null
        : {
            uploadId: row.mux_upload_id,
            assetId: row.mux_asset_id,
            playbackId: row.mux_playback_id,
            policy: row.mux_policy
          },
    createdAt: row.created_at,
    updatedAt: row.updated_at
  }
}
