import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../../database/tables.js'
import { findMediaOfMuxUpload, lockMedia, updateMuxAsset, updateMuxOutcome } from '../../media/media-store.js'
import type { Library } from '../../media/library.js'
import type { Media } from '../../media/schema.js'
import { SECOND, type Clock } from '../../time.js'
import type { MuxAsset, MuxUpload } from './mux-api.js'
import { sentence } from './mux-fault.js'

/** Holds the sums that count a media's duration until the transaction ends; answers how to change them. */
export type LockSums = (trx: Transaction<Database>, mediaId: string) => Promise<(deltaMs: number) => Promise<void>>

/** What Mux said of an upload, or of an asset. */
export type MuxNews =
  | { upload: Pick<MuxUpload, 'id' | 'status' | 'asset_id' | 'error'> }
  | { asset: Pick<MuxAsset, 'id' | 'status' | 'duration' | 'playback_ids' | 'errors' | 'upload_id'> }
  | { deletedAsset: Pick<MuxAsset, 'id' | 'upload_id'> }
  | { failure: { code: string; message: string }; uploadId: string | null; mediaId: string }

export type MuxLedger = ReturnType<typeof createMuxLedger>

/**
 * Writes down what Mux says. News may come in any order, twice, by webhook and by asking: a media that waits becomes
 * ready or failed once, and only an asset that is deleted changes it after that.
 */
export function createMuxLedger ({
  db,
  library,
  lockSums,
  clock
}: {
  db: Kysely<Database>
  library: Library
  lockSums: LockSums
  clock: Clock
}) {
  /**
   * In a transaction of the caller's; call `forget` of what it answers after the commit. News of what is no media's are
   * ignored.
   */
  async function enterWithin (trx: Transaction<Database>, news: MuxNews): Promise<string | undefined> {
    const mediaId = 'mediaId' in news ? news.mediaId : await mediaOf(trx, news)
    if (mediaId === undefined) return undefined
    // In the order in which a deleted lecture takes them, so that neither waits for the other forever.
    const addToSums = await lockSums(trx, mediaId)
    const media = await lockMedia(trx, mediaId)
    if (media === undefined || !concerns(media, news)) return undefined
    if ('deletedAsset' in news) {
      await updateMuxOutcome(
        trx,
        media.id,
        { error: { code: 'provider_asset_deleted', message: 'The asset was deleted at Mux.' } },
        clock.now()
      )
    } else if (media.status === 'processing') await apply(trx, media, news, addToSums)
    return media.id
  }

  async function apply (
    trx: Transaction<Database>,
    { id, durationMs: before, mux }: Media,
    news: MuxNews,
    addToSums: (deltaMs: number) => Promise<void>
  ): Promise<void> {
    const fail = (code: string, message: string) => updateMuxOutcome(trx, id, { error: { code, message } }, clock.now())
    if ('failure' in news) return await fail(news.failure.code, news.failure.message)
    if ('upload' in news) {
      const { status, asset_id: assetId, error } = news.upload
      if (assetId !== undefined) await updateMuxAsset(trx, id, { assetId })
      if (status === 'errored') {
        await fail(
          'provider_failed',
          said('Mux could not take the file', error?.message === undefined ? [] : [error.message])
        )
      }
    } else if ('asset' in news) {
      const { id: assetId, status, duration, errors, playback_ids: playbackIds } = news.asset
      const playbackId = playbackIds?.find(({ policy }) => policy === mux?.policy)?.id
      await updateMuxAsset(trx, id, { assetId, playbackId })
      if (status === 'errored') {
        return await fail('provider_failed', said('Mux could not process the file', errors?.messages ?? []))
      }
      if (status !== 'ready') return
      if (playbackId === undefined) {
        return await fail('provider_failed', 'Mux gave the media no address that it can be played by.')
      }
      const durationMs = duration === undefined ? null : Math.round(duration * SECOND)
      if (durationMs !== null) await addToSums(durationMs - (before ?? 0))
      await updateMuxOutcome(trx, id, { durationMs }, clock.now())
    }
  }

  return {
    enterWithin,

    /** Durably, and seen by this process at once. */
    async enter (news: MuxNews): Promise<void> {
      const mediaId = await db.transaction().execute((trx) => enterWithin(trx, news))
      if (mediaId !== undefined) library.forget(mediaId)
    }
  }
}

async function mediaOf (
  trx: Transaction<Database>,
  news: Exclude<MuxNews, { mediaId: string }>
): Promise<string | undefined> {
  const uploadId =
    'upload' in news ? news.upload.id : 'asset' in news ? news.asset.upload_id : news.deletedAsset.upload_id
  return uploadId === undefined ? undefined : await findMediaOfMuxUpload(trx, uploadId)
}

/** A media may have been given another upload since. */
function concerns ({ provider, mux }: Media, news: MuxNews): boolean {
  if (provider !== 'mux') return false
  if ('upload' in news) return mux?.uploadId === news.upload.id
  if ('asset' in news) return mux?.uploadId === news.asset.upload_id
  if ('deletedAsset' in news) return mux?.uploadId === news.deletedAsset.upload_id
  return (mux?.uploadId ?? null) === news.uploadId
}

function said (what: string, messages: string[]): string {
  const words = sentence(messages)
  return words === '' ? `${what}.` : `${what}: ${words}.`
}
