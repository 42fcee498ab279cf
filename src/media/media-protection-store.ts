import type { Kysely, Transaction, Updateable } from 'kysely'
import type { Database, MediaTable } from '../database/tables.js'
import { lockMedia } from './media-store.js'
import type { Media, MuxNames, Protection, ProviderName } from './schema.js'

/**
 * Turns protection on or off, and clears the package or asset of the previous provider. A media that already has this
 * protection stays unchanged, unless its packaging failed: then packaging starts again. Returns the previous media and
 * whether it changed, or undefined if the media does not exist.
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

/** The progress or the result of packaging. */
type PackagingResult =
  | { progress: number }
  | { error: NonNullable<Media['error']> }
  | { packaged: NonNullable<Media['packaged']> }

/** Records the progress or the result of packaging. Returns false if the media is not in processing. */
export async function updatePackaging (db: Kysely<Database>, id: string, result: PackagingResult): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('media')
    .set(packagingChange(result))
    .where('id', '=', id)
    .where('status', '=', 'processing')
    .where('deleted_at', 'is', null)
    // The media may have been protected again by another provider, which does not use this package.
    .$if(!('progress' in result), (query) => query.where('provider', '=', 'local'))
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

function packagingChange (result: PackagingResult): Updateable<MediaTable> {
  if ('progress' in result) return { progress: result.progress }
  if ('error' in result) return failed(result.error)
  const { blobName, contentKey } = result.packaged
  return { status: 'ready', progress: 100, package_blob: blobName, content_key: contentKey }
}

function failed ({ code, message }: NonNullable<Media['error']>): Updateable<MediaTable> {
  return { status: 'failed', error_code: code, error_message: message }
}

/** Sets the poster of a media. Returns false if the media does not exist or already has a poster. */
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

/**
 * Sets or clears the upload of a media to Mux. Returns false unless the media is in processing and its upload is
 * `expected`.
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

/** Returns the id of the media of a Mux upload. */
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

/** Records a media's asset at Mux, and its playback id if it is known. */
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

/** Records the result of Mux. `durationMs` is null if Mux did not report a duration. */
export async function updateMuxOutcome (
  trx: Transaction<Database>,
  id: string,
  outcome: { durationMs: number | null } | { error: NonNullable<Media['error']> },
  now: number
): Promise<void> {
  await trx
    .updateTable('media')
    .set({ ...muxChange(outcome), updated_at: now })
    .where('id', '=', id)
    .execute()
}

function muxChange (
  outcome: { durationMs: number | null } | { error: NonNullable<Media['error']> }
): Updateable<MediaTable> {
  if ('error' in outcome) return failed(outcome.error)
  const { durationMs } = outcome
  return { status: 'ready', progress: 100, ...(durationMs !== null && { duration_ms: durationMs }) }
}

/** Counts the media that Mux plays. */
export async function countMuxMedia (db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('media')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('provider', '=', 'mux')
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(count)
}
