import type { Kysely } from 'kysely'
import type { Database } from '../../database/tables.js'
import { updateMuxUpload, updatePackaging } from '../../media/media-store.js'
import type { Media } from '../../media/schema.js'
import type { BlobStore } from '../../storage/blob-store.js'
import type { JobRun } from '../../jobs/job-runner.js'
import type { MuxRemoval } from '../../jobs/job.js'
import type { MuxApi, MuxUpload } from './mux-api.js'
import { MuxFault } from './mux-fault.js'
import type { MuxLedger } from './mux-ledger.js'
import { UploadGone, sendFile } from './send-file.js'

interface IngestOptions {
  db: Kysely<Database>
  blobs: BlobStore
  api: MuxApi
  ledger: MuxLedger
  /** Upload addresses are good for it in browsers; this server sends no Origin. */
  corsOrigin: string
  idleMs: number
}

/** Sending is the first half of a media's progress, Mux's work the second. */
const SENT_PERCENT = 50

export type MuxIngest = ReturnType<typeof createMuxIngest>

/**
 * Brings media to Mux, and takes them away. Each call does what is next by what Mux says now, so that it can be broken
 * off anywhere and called again.
 */
export function createMuxIngest ({ db, blobs, api, ledger, corsOrigin, idleMs }: IngestOptions) {
  /**
   * The upload's id is written down before a byte is sent: one that no row names never gets a file, and so never
   * becomes an asset.
   */
  async function begin (media: Media, signal: AbortSignal): Promise<MuxUpload | undefined> {
    const upload = await api.createUpload(media.id, corsOrigin, signal)
    if (await updateMuxUpload(db, media.id, null, { uploadId: upload.id, policy: api.policy })) return upload
    await api.cancelUpload(upload.id, signal)
    return undefined
  }

  async function send (
    media: Media,
    { id, url }: MuxUpload,
    fresh: boolean,
    { signal, onProgress }: JobRun
  ): Promise<void> {
    if (url === undefined) throw new MuxFault('Mux gave the upload no address.')
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
      if (error instanceof UploadGone) await abandon(media, id, signal)
      throw error
    }
  }

  /**
   * What was sent to it can't become an asset any more once it is cancelled; then another may be begun. One that has
   * become an asset stays.
   */
  async function abandon (media: Media, uploadId: string, signal: AbortSignal): Promise<void> {
    const upload = await api.findUpload(uploadId, signal)
    if (
      upload?.status === 'asset_created' ||
      (upload?.status === 'waiting' && !(await api.cancelUpload(uploadId, signal)))
    ) {
      return
    }
    await updateMuxUpload(db, media.id, uploadId, null)
  }

  /** Asks how an asset stands, and writes it down. */
  async function follow (media: Media, uploadId: string, assetId: string, signal: AbortSignal): Promise<void> {
    const asset = await api.findAsset(assetId, signal)
    if (asset === undefined) {
      return await ledger.enter({
        failure: { code: 'provider_asset_deleted', message: 'The asset was deleted at Mux.' },
        uploadId,
        mediaId: media.id
      })
    }
    await ledger.enter({ asset: { ...asset, upload_id: uploadId } })
    const percent = asset.progress?.progress ?? 0
    if (asset.status === 'preparing' && percent > 0) {
      await updatePackaging(db, media.id, {
        progress: Math.min(99, SENT_PERCENT + Math.floor((percent * (100 - SENT_PERCENT)) / 100))
      })
    }
  }

  return {
    /**
     * Takes a waiting media as far as it gets now. Throws a {@link MuxFault}, or what the SDK or the connection throws;
     * `signal` breaks it off.
     */
    async advance (media: Media, run: JobRun): Promise<void> {
      const { signal } = run
      const known = media.mux?.uploadId ?? null
      if (known !== null && media.mux!.assetId !== null) return await follow(media, known, media.mux!.assetId, signal)
      const upload = known === null ? await begin(media, signal) : await api.findUpload(known, signal)
      if (upload?.status === 'waiting') return await send(media, upload, known === null, run)
      if (upload?.status === 'asset_created') return await follow(media, upload.id, upload.asset_id!, signal)
      if (upload?.status === 'errored') return await ledger.enter({ upload })
      if (known === null) return
      // Cancelled, timed out, or of another account: nothing will come of it.
      await updateMuxUpload(db, media.id, known, null)
      throw new MuxFault('The upload to Mux ended before the file was there.')
    },

    /** Ends what is left of a media at Mux. */
    async remove ({ uploadId, assetId }: MuxRemoval, { signal }: JobRun): Promise<void> {
      const upload = assetId !== null || uploadId === null ? undefined : await api.findUpload(uploadId, signal)
      if (upload?.status === 'waiting') {
        if (await api.cancelUpload(upload.id, signal)) return
        throw new MuxFault('The upload is becoming an asset just now.')
      }
      const id = assetId ?? upload?.asset_id
      if (id !== undefined) await api.deleteAsset(id, signal)
    }
  }
}
