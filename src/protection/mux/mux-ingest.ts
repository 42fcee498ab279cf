import type { Kysely } from 'kysely'
import type { Database } from '../../database/tables.js'
import { updateMuxUpload, updatePackaging } from '../../media/media-protection-store.js'
import type { Media } from '../../media/schema.js'
import type { BlobStore } from '../../storage/blob-store.js'
import type { JobRun } from '../../jobs/job-runner.js'
import type { MuxRemoval } from '../../jobs/job.js'
import type { MuxApi, MuxUpload } from './mux-api.js'
import { MuxFault } from './mux-fault.js'
import { ASSET_DELETED, type MuxAssetState } from './mux-asset-state.js'
import { UploadGone, sendFile } from './send-file.js'

interface Options {
  db: Kysely<Database>
  blobs: BlobStore
  api: MuxApi
  assetState: MuxAssetState
  /** The origin from which browsers may use an upload. This server sends no Origin header. */
  corsOrigin: string
  idleMs: number
}

/** Sending the file is the first half of the progress of a media. Processing at Mux is the second half. */
const SENT_PERCENT = 50

/**
 * Uploads media to Mux, and deletes them there. Each call does the next step for the current state at Mux. A call can
 * be interrupted at any point and repeated.
 */
export class MuxIngest {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Advances a processing media as far as possible; `run.signal` interrupts it. **Throws** a {@link MuxFault}, or an
   * error of the SDK or the connection.
   */
  async advance (media: Media, run: JobRun): Promise<void> {
    const { api, db, assetState } = this.#options
    const { signal } = run
    const known = media.mux?.uploadId ?? null
    if (known !== null && media.mux!.assetId !== null) {
      return await this.#follow(media, known, media.mux!.assetId, signal)
    }
    const upload = known === null ? await this.#begin(media, signal) : await api.findUpload(known, signal)
    if (upload?.status === 'waiting') return await this.#send(media, upload, known === null, run)
    if (upload?.status === 'asset_created') return await this.#follow(media, upload.id, upload.asset_id!, signal)
    if (upload?.status === 'errored') return await assetState.apply({ upload })
    if (known === null) return
    // The upload was cancelled, timed out, or belongs to another account. It never becomes an asset.
    await updateMuxUpload(db, media.id, known, null)
    throw new MuxFault('The upload to Mux ended before the whole file arrived.')
  }

  /** Deletes the asset of a media at Mux, or cancels its upload. **Throws** as {@link advance} does. */
  async remove ({ uploadId, assetId }: MuxRemoval, { signal }: JobRun): Promise<void> {
    const { api } = this.#options
    const upload = assetId !== null || uploadId === null ? undefined : await api.findUpload(uploadId, signal)
    if (upload?.status === 'waiting') {
      if (await api.cancelUpload(upload.id, signal)) return
      throw new MuxFault('Mux is creating the asset of this upload.')
    }
    const id = assetId ?? upload?.asset_id
    if (id !== undefined) await api.deleteAsset(id, signal)
  }

  /** Creates an upload. Its id is stored before a byte is sent, so that an upload without a row never gets a file. */
  async #begin (media: Media, signal: AbortSignal): Promise<MuxUpload | undefined> {
    const { api, db, corsOrigin } = this.#options
    const upload = await api.createUpload(media.id, corsOrigin, signal)
    if (await updateMuxUpload(db, media.id, null, { uploadId: upload.id, policy: api.policy })) return upload
    await api.cancelUpload(upload.id, signal)
    return undefined
  }

  async #send (media: Media, { id, url }: MuxUpload, fresh: boolean, { signal, onProgress }: JobRun): Promise<void> {
    const { db, blobs, idleMs } = this.#options
    if (url === undefined) throw new MuxFault('Mux returned no URL for the upload.')
    const sizeBytes = media.sizeBytes!
    try {
      await sendFile({
        url,
        path: blobs.pathOf(media.blobName!),
        sizeBytes,
        fresh,
        idleMs,
        signal,
        onProgress (bytes) {
          onProgress()
          updatePackaging(db, media.id, { progress: Math.floor((SENT_PERCENT * bytes) / sizeBytes) }).catch(() => {})
        }
      })
    } catch (error) {
      if (error instanceof UploadGone) await this.#abandon(media, id, signal)
      throw error
    }
  }

  /** Cancels and clears an upload, so that another upload can start. An upload that became an asset stays. */
  async #abandon (media: Media, uploadId: string, signal: AbortSignal): Promise<void> {
    const { api, db } = this.#options
    const upload = await api.findUpload(uploadId, signal)
    if (upload?.status === 'asset_created') return
    if (upload?.status === 'waiting' && !(await api.cancelUpload(uploadId, signal))) return
    await updateMuxUpload(db, media.id, uploadId, null)
  }

  /** Reads the state of an asset, and records it. */
  async #follow (media: Media, uploadId: string, assetId: string, signal: AbortSignal): Promise<void> {
    const { api, db, assetState } = this.#options
    const asset = await api.findAsset(assetId, signal)
    if (asset === undefined) return await assetState.apply({ failure: ASSET_DELETED, uploadId, mediaId: media.id })
    await assetState.apply({ asset: { ...asset, upload_id: uploadId } })
    const percent = asset.progress?.progress ?? 0
    if (asset.status === 'preparing' && percent > 0) {
      const progress = SENT_PERCENT + Math.floor((percent * (100 - SENT_PERCENT)) / 100)
      await updatePackaging(db, media.id, { progress: Math.min(99, progress) })
    }
  }
}
