import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Library } from '../media/library.js'
import { updateProtection } from '../media/media-store.js'
import type { Media, Protection as ProtectionKind } from '../media/schema.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { deleteJob, insertJob } from './job-store.js'

export type Protection = ReturnType<typeof createProtection>

/** Which media are played as encrypted streams, and what may be served of them. */
export function createProtection ({ db, blobs, library, now }: { db: Kysely<Database>, blobs: BlobStore, library: Library, now: Clock }) {
  /** Answers the blob of a package that is of no use any more. Throws `not_found`. */
  async function changeWithin (trx: Transaction<Database>, { id }: Media, protection: ProtectionKind): Promise<string | null> {
    const changed = await updateProtection(trx, id, protection, now())
    if (changed === undefined) throw new ApiError('not_found')
    if (changed.asBefore) return null
    await (protection === 'encrypted' ? insertJob(trx, id, now()) : deleteJob(trx, id))
    return changed.droppedBlob
  }

  return {
    changeWithin,

    /** Queues a new media, in the transaction that makes it, if there is an encrypted stream or a picture to be made. */
    async queue (trx: Transaction<Database>, { id, protection, type }: Media): Promise<void> {
      if (protection === 'encrypted' || type === 'video') await insertJob(trx, id, now())
    },

    /**
     * Turns protection on, which packages the media anew, or off, which drops the package. One that is as asked stays as it is. `allow` may
     * refuse by throwing, in the transaction of the change.
     */
    async change (media: Media, protection: ProtectionKind, allow?: (trx: Transaction<Database>) => Promise<void>): Promise<void> {
      if (media.blobName === null && protection === 'none') return
      if (media.blobName === null) throw new ApiError('validation_failed', { errors: [{ path: 'protection', message: 'a media that lives elsewhere cannot be protected' }] })
      const droppedBlob = await db.transaction().execute(async (trx) => {
        await allow?.(trx)
        return await changeWithin(trx, media, protection)
      })
      library.forget(media.id)
      if (droppedBlob !== null) await blobs.remove(droppedBlob).catch(() => {})
    }
  }
}

/** Throws what keeps a protected media from being played: `media_not_ready` until it is packaged, and for one that failed. */
export function requireReady ({ protection, status, error }: Media): void {
  if (protection === 'none' || status === 'ready') return
  throw new ApiError('media_not_ready', error === null ? {} : { detail: error.message, extra: { error } })
}

/** A protected media that can be played. */
export type PackagedMedia = Media & { packaged: NonNullable<Media['packaged']> }

export function isPackaged (media: Media): media is PackagedMedia {
  return media.protection === 'encrypted' && media.packaged !== null
}
