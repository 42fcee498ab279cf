import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../../database/tables.js'
import { lockMedia } from '../../media/media-store.js'
import { findMediaOfMuxUpload, updateMuxAsset, updateMuxOutcome } from '../../media/media-protection-store.js'
import type { Library } from '../../media/library.js'
import type { LockSums } from '../../media/lock-sums.js'
import type { Media } from '../../media/schema.js'
import { SECOND, type Clock } from '../../time.js'
import type { MuxAsset, MuxUpload } from './mux-api.js'
import { sentence } from './mux-fault.js'

/** The state of an upload or an asset, from a webhook or a response. */
export type MuxNews =
  | { upload: Pick<MuxUpload, 'id' | 'status' | 'asset_id' | 'error'> }
  | { asset: Pick<MuxAsset, 'id' | 'status' | 'duration' | 'playback_ids' | 'errors' | 'upload_id'> }
  | { deletedAsset: Pick<MuxAsset, 'id' | 'upload_id'> }
  | { failure: { code: string; message: string }; uploadId: string | null; mediaId: string }

export const ASSET_DELETED = { code: 'provider_asset_deleted', message: 'The asset was deleted at Mux.' }

interface Options {
  db: Kysely<Database>
  library: Library
  lockSums: LockSums
  clock: Clock
}

/**
 * Records news of Mux. News may arrive twice and in any order, by webhook and by polling. A processing media becomes
 * ready or fails only once. After that, only the deletion of its asset changes it.
 */
export class MuxLedger {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Records news durably. This process sees the change at once. */
  async record (news: MuxNews): Promise<void> {
    const { db, library } = this.#options
    const mediaId = await db.transaction().execute((trx) => this.recordWithin(trx, news))
    if (mediaId !== undefined) library.forget(mediaId)
  }

  /**
   * Records news in a transaction of the caller. Returns the id of the media: call `library.forget` with it after the
   * commit. Returns undefined if the news concern no media.
   */
  async recordWithin (trx: Transaction<Database>, news: MuxNews): Promise<string | undefined> {
    const { lockSums, clock } = this.#options
    const mediaId = 'mediaId' in news ? news.mediaId : await mediaOf(trx, news)
    if (mediaId === undefined) return undefined
    // The deletion of a lecture takes these locks in the same order, which prevents a deadlock.
    const addToSums = await lockSums(trx, mediaId)
    const media = await lockMedia(trx, mediaId)
    if (media === undefined || !concerns(media, news)) return undefined
    if ('deletedAsset' in news) await updateMuxOutcome(trx, media.id, { error: ASSET_DELETED }, clock.now())
    else if (media.status === 'processing') await this.#apply(trx, media, news, addToSums)
    return media.id
  }

  async #apply (
    trx: Transaction<Database>,
    media: Media,
    news: Exclude<MuxNews, { deletedAsset: unknown }>,
    addToSums: (deltaMs: number) => Promise<void>
  ): Promise<void> {
    if ('failure' in news) return await this.#fail(trx, media, news.failure)
    if ('asset' in news) return await this.#applyAsset(trx, media, news.asset, addToSums)
    const { status, asset_id: assetId, error } = news.upload
    if (assetId !== undefined) await updateMuxAsset(trx, media.id, { assetId })
    if (status !== 'errored') return
    const messages = error?.message === undefined ? [] : [error.message]
    await this.#fail(trx, media, providerFailed(said('Mux could not take the file', messages)))
  }

  async #applyAsset (
    trx: Transaction<Database>,
    media: Media,
    asset: Extract<MuxNews, { asset: unknown }>['asset'],
    addToSums: (deltaMs: number) => Promise<void>
  ): Promise<void> {
    const { id: assetId, status, duration, errors, playback_ids: playbackIds } = asset
    const playbackId = playbackIds?.find(({ policy }) => policy === media.mux?.policy)?.id
    await updateMuxAsset(trx, media.id, { assetId, playbackId })
    if (status === 'errored') {
      const message = said('Mux could not process the file', errors?.messages ?? [])
      return await this.#fail(trx, media, providerFailed(message))
    }
    if (status !== 'ready') return
    if (playbackId === undefined) {
      return await this.#fail(trx, media, providerFailed('Mux gave the media no address that it can be played by.'))
    }
    const durationMs = duration === undefined ? null : Math.round(duration * SECOND)
    if (durationMs !== null) await addToSums(durationMs - (media.durationMs ?? 0))
    await updateMuxOutcome(trx, media.id, { durationMs }, this.#options.clock.now())
  }

  async #fail (trx: Transaction<Database>, { id }: Media, error: { code: string; message: string }): Promise<void> {
    await updateMuxOutcome(trx, id, { error }, this.#options.clock.now())
  }
}

function providerFailed (message: string): { code: string; message: string } {
  return { code: 'provider_failed', message }
}

async function mediaOf (
  trx: Transaction<Database>,
  news: Exclude<MuxNews, { mediaId: string }>
): Promise<string | undefined> {
  const uploadId = uploadOf(news)
  return uploadId === undefined ? undefined : await findMediaOfMuxUpload(trx, uploadId)
}

function uploadOf (news: Exclude<MuxNews, { mediaId: string }>): string | undefined {
  if ('upload' in news) return news.upload.id
  return 'asset' in news ? news.asset.upload_id : news.deletedAsset.upload_id
}

/** Returns whether news concern the current upload of a media. The media may have a newer upload. */
function concerns ({ provider, mux }: Media, news: MuxNews): boolean {
  if (provider !== 'mux') return false
  if ('failure' in news) return (mux?.uploadId ?? null) === news.uploadId
  return mux?.uploadId === uploadOf(news)
}

/** Joins a sentence with the messages of Mux. */
function said (what: string, messages: string[]): string {
  const words = sentence(messages)
  return words === '' ? `${what}.` : `${what}: ${words}.`
}
