import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError, mediaNotFound } from '../errors.js'
import type { Library } from '../media/library.js'
import { updateProtection } from '../media/media-protection-store.js'
import type { Media, Protection as ProtectionKind, ProviderName } from '../media/schema.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { deleteJobOfMedia, insertJob, insertRemoval } from '../jobs/job-store.js'
import { deletePackageIndex } from './hls/package-index-store.js'

export type Protection = ReturnType<typeof createProtection>

/** `provider`: who makes the encrypted streams of media that are protected from now on. */
interface ProtectionOptions {
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  provider: ProviderName
  clock: Clock
}

/** Which media are played as encrypted streams, and who makes them. */
export function createProtection ({ db, blobs, library, provider, clock }: ProtectionOptions) {
  const jobKind = (provider: ProviderName) => (provider === 'mux' ? ('mux-ingest' as const) : ('package' as const))

  /** Returns the blob of a package that is of no use any more. Throws `not_found`. */
  async function changeWithin (
    trx: Transaction<Database>,
    { id }: Media,
    protection: ProtectionKind
  ): Promise<string | null> {
    const update = await updateProtection(trx, id, protection, provider, clock.now())
    if (update === undefined) throw mediaNotFound()
    const { before, changed } = update
    if (!changed) return null
    await deletePackageIndex(trx, id)
    await releaseMux(trx, before, clock.now())
    // One whose picture was Mux's needs one of its own.
    const todo =
      protection === 'encrypted'
        ? jobKind(provider)
        : before.provider === 'mux' && before.type === 'video'
          ? 'package'
          : undefined
    await (todo === undefined ? deleteJobOfMedia(trx, id) : insertJob(trx, todo, id, clock.now()))
    const droppedBlob = before.packaged?.blobName ?? null
    // No job removes it: if this process dies before it does, the sweep must.
    if (droppedBlob !== null) await blobs.unmarkCommitted(droppedBlob)
    return droppedBlob
  }

  return {
    changeWithin,

    /**
     * Queues a new media, in the transaction that makes it, if there is an encrypted stream or a picture to be made.
     */
    async queue (trx: Transaction<Database>, { id, protection, provider, type }: Media): Promise<void> {
      if (protection === 'encrypted' || type === 'video') await insertJob(trx, jobKind(provider), id, clock.now())
    },

    /**
     * Turns protection on, which packages the media, or off, which drops the package. One that is as asked stays as it
     * is, but for one that failed: that is tried again. `wanted` says what is asked, in the transaction of the change,
     * and may refuse by throwing.
     */
    async change (media: Media, wanted: (trx: Transaction<Database>) => Promise<ProtectionKind>): Promise<void> {
      const droppedBlob = await db.transaction().execute(async (trx) => {
        const protection = await wanted(trx)
        if (media.blobName !== null) return await changeWithin(trx, media, protection)
        if (protection === 'none') return null
        throw new ApiError('validation_failed', {
          errors: [{ path: 'protection', message: 'a media that lives elsewhere cannot be protected' }]
        })
      })
      library.forget(media.id)
      if (droppedBlob !== null) await blobs.remove(droppedBlob).catch(() => {})
    }
  }
}

/**
 * Queues the deletion of what is at Mux of a media, in the transaction that deletes the media or ends its protection.
 */
export async function releaseMux (trx: Transaction<Database>, { mux }: Media, now: number): Promise<void> {
  if (mux !== null) await insertRemoval(trx, { uploadId: mux.uploadId, assetId: mux.assetId }, now)
}

/**
 * Throws what keeps a protected media from being played: `media_not_ready` until it is packaged, and for one that
 * failed.
 */
export function requireReady (media: Media): void {
  if (isPlayable(media)) return
  const { error } = media
  throw new ApiError('media_not_ready', error === null ? {} : { detail: error.message, extra: { error } })
}

/** Whether a media can be played now: a protected one only once it is packaged. */
export function isPlayable ({ protection, status }: Media): boolean {
  return protection === 'none' || status === 'ready'
}

/** A protected media that can be played. */
export type PackagedMedia = Media & { packaged: NonNullable<Media['packaged']> }

export function isPackaged (media: Media): media is PackagedMedia {
  return media.protection === 'encrypted' && media.packaged !== null
}
