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

/** `provider` makes the encrypted streams of media that become protected from now on. */
interface ProtectionOptions {
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  /** Queues or cancels the rendition of a media whose protection changes, in the same transaction. */
  renditions: { requeue(trx: Transaction<Database>, media: Media): Promise<void> }
  provider: ProviderName
  clock: Clock
}

/** Changes the protection of media, and queues the jobs that follow from it. */
export function createProtection ({ db, blobs, library, renditions, provider, clock }: ProtectionOptions) {
  const jobKind = (provider: ProviderName) => (provider === 'mux' ? ('mux-ingest' as const) : ('package' as const))

  /** Returns the blob of a package that is no longer used, or null. **Throws** `not_found`. */
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
    // A video whose poster came from Mux needs its own poster.
    const todo =
      protection === 'encrypted'
        ? jobKind(provider)
        : before.provider === 'mux' && before.type === 'video'
          ? 'package'
          : undefined
    await (todo === undefined ? deleteJobOfMedia(trx, id) : insertJob(trx, todo, id, clock.now()))
    await renditions.requeue(trx, { ...before, protection })
    const droppedBlob = before.packaged?.blobName ?? null
    // No job removes this blob. If this process dies before it removes the blob, the sweep must remove it.
    if (droppedBlob !== null) await blobs.unmarkCommitted(droppedBlob)
    return droppedBlob
  }

  return {
    changeWithin,

    /** Queues a new media in the transaction that inserts it, if the media needs an encrypted stream or a poster. */
    async queue (trx: Transaction<Database>, { id, protection, provider, type }: Media): Promise<void> {
      if (protection === 'encrypted' || type === 'video') await insertJob(trx, jobKind(provider), id, clock.now())
    },

    /**
     * Turns protection on, which packages the media, or off, which deletes the package. A media that already has the
     * wanted protection does not change, but a failed media is tried again. `wanted` runs in the transaction of the
     * change. It returns the wanted protection, or throws to refuse the change.
     */
    async change (media: Media, wanted: (trx: Transaction<Database>) => Promise<ProtectionKind>): Promise<void> {
      const droppedBlob = await db.transaction().execute(async (trx) => {
        const protection = await wanted(trx)
        if (media.blobName !== null) return await changeWithin(trx, media, protection)
        if (protection === 'none') return null
        throw new ApiError('validation_failed', {
          errors: [{ path: 'protection', message: 'must be none, because the media is hosted elsewhere' }]
        })
      })
      library.invalidate(media.id)
      if (droppedBlob !== null) await blobs.remove(droppedBlob).catch(() => {})
    }
  }
}

/** Queues the deletion of a media at Mux, in the transaction that deletes the media or ends its protection. */
export async function releaseMux (trx: Transaction<Database>, { mux }: Media, now: number): Promise<void> {
  if (mux !== null) await insertRemoval(trx, { uploadId: mux.uploadId, assetId: mux.assetId }, now)
}

/** **Throws** `media_not_ready` for a protected media that is not yet packaged, or whose packaging failed. */
export function requireReady (media: Media): void {
  if (isPlayable(media)) return
  const { error } = media
  throw new ApiError('media_not_ready', error === null ? {} : { detail: error.message, extra: { error } })
}

/** Returns whether a media can be played now. A protected media must be packaged first. */
export function isPlayable ({ protection, status }: Media): boolean {
  return protection === 'none' || status === 'ready'
}

/** A protected media that can be played. */
export type PackagedMedia = Media & { packaged: NonNullable<Media['packaged']> }

export function isPackaged (media: Media): media is PackagedMedia {
  return media.protection === 'encrypted' && media.packaged !== null
}
