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
export type MuxUpdate =
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
 * Applies updates of Mux. An update may arrive twice and in any order, by webhook and by polling. A processing media
 * becomes ready or fails only once. After that, only the deletion of its asset changes it.
 */
export class MuxAssetState {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Applies an update durably. This process sees the change at once. */
  async apply (update: MuxUpdate): Promise<void> {
    const { db, library } = this.#options
    const mediaId = await db.transaction().execute((trx) => this.applyWithin(trx, update))
    if (mediaId !== undefined) library.invalidate(mediaId)
  }

  /**
   * Applies an update in a transaction of the caller. Returns the id of the media: call `library.invalidate` with it
   * after the commit. Returns undefined if the update concerns no media.
   */
  async applyWithin (trx: Transaction<Database>, update: MuxUpdate): Promise<string | undefined> {
    const { lockSums, clock } = this.#options
    const mediaId = 'mediaId' in update ? update.mediaId : await mediaOf(trx, update)
    if (mediaId === undefined) return undefined
    // The deletion of a lecture takes these locks in the same order, which prevents a deadlock.
    const addToSums = await lockSums(trx, mediaId)
    const media = await lockMedia(trx, mediaId)
    if (media === undefined || !concerns(media, update)) return undefined
    if ('deletedAsset' in update) await updateMuxOutcome(trx, media.id, { error: ASSET_DELETED }, clock.now())
    else if (media.status === 'processing') await this.#applyToProcessing(trx, media, update, addToSums)
    return media.id
  }

  async #applyToProcessing (
    trx: Transaction<Database>,
    media: Media,
    update: Exclude<MuxUpdate, { deletedAsset: unknown }>,
    addToSums: (deltaMs: number) => Promise<void>
  ): Promise<void> {
    if ('failure' in update) return await this.#fail(trx, media, update.failure)
    if ('asset' in update) return await this.#applyAsset(trx, media, update.asset, addToSums)
    const { status, asset_id: assetId, error } = update.upload
    if (assetId !== undefined) await updateMuxAsset(trx, media.id, { assetId })
    if (status !== 'errored') return
    const messages = error?.message === undefined ? [] : [error.message]
    await this.#fail(trx, media, providerFailed(messageOf('Mux could not read the file', messages)))
  }

  async #applyAsset (
    trx: Transaction<Database>,
    media: Media,
    asset: Extract<MuxUpdate, { asset: unknown }>['asset'],
    addToSums: (deltaMs: number) => Promise<void>
  ): Promise<void> {
    const { id: assetId, status, duration, errors, playback_ids: playbackIds } = asset
    const playbackId = playbackIds?.find(({ policy }) => policy === media.mux?.policy)?.id
    await updateMuxAsset(trx, media.id, { assetId, playbackId })
    if (status === 'errored') {
      const message = messageOf('Mux could not process the file', errors?.messages ?? [])
      return await this.#fail(trx, media, providerFailed(message))
    }
    if (status !== 'ready') return
    if (playbackId === undefined) {
      return await this.#fail(trx, media, providerFailed('Mux returned no playback id for the media.'))
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
  update: Exclude<MuxUpdate, { mediaId: string }>
): Promise<string | undefined> {
  const uploadId = uploadOf(update)
  return uploadId === undefined ? undefined : await findMediaOfMuxUpload(trx, uploadId)
}

function uploadOf (update: Exclude<MuxUpdate, { mediaId: string }>): string | undefined {
  if ('upload' in update) return update.upload.id
  return 'asset' in update ? update.asset.upload_id : update.deletedAsset.upload_id
}

/** Returns whether an update concerns the current upload of a media. The media may have a newer upload. */
function concerns ({ provider, mux }: Media, update: MuxUpdate): boolean {
  if (provider !== 'mux') return false
  if ('failure' in update) return (mux?.uploadId ?? null) === update.uploadId
  return mux?.uploadId === uploadOf(update)
}

/** Joins a sentence with the messages of Mux. */
function messageOf (what: string, messages: string[]): string {
  const words = sentence(messages)
  return words === '' ? `${what}.` : `${what}: ${words}.`
}
