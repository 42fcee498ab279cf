import type { Kysely, Transaction } from 'kysely'
import { validate as isUuid } from 'uuid'
import { foreignKeyViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { createFactsCache } from '../facts-cache.js'
import { pageOf, type Page, type PageQuery } from '../page.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { deleteViewsOf } from '../views/view-maintenance.js'
import { deleteMedia, findAllMedia, findLectureOf, findMedia, listMedia, updateGeneration, updateMedia, type MediaFilter } from './media-store.js'
import type { Media, Visibility } from './schema.js'

interface LibraryOptions {
  db: Kysely<Database>
  blobs: BlobStore
  now: Clock
  /** What facts grow old by. */
  monotonicNow: Clock
  /** Queues the end of what is kept of a media elsewhere, in the transaction that deletes it. */
  release (trx: Transaction<Database>, media: Media): Promise<void>
}

export type Library = ReturnType<typeof createLibrary>

/** The media there are. Who may do what is decided in src/access/. */
export function createLibrary ({ db, blobs, now, monotonicNow, release }: LibraryOptions) {
  const facts = createFactsCache<Media>((id) => findMedia(db, id), monotonicNow)

  /** Ends what is left of media whose rows are deleted. The rows are what counts: a file that could not be removed is the sweep's. */
  async function removeFiles (gone: Media[]): Promise<void> {
    for (const { id, blobName, packaged, posterBlob } of gone) {
      facts.forget(id)
      for (const name of [blobName, packaged?.blobName ?? null, posterBlob]) if (name !== null) await blobs.remove(name).catch(() => {})
    }
  }

  /** Deletes media with their views and figures, as part of a larger change; hand what it answers to `removeFiles` after the commit. */
  async function deleteRows (trx: Transaction<Database>, ids: string[]): Promise<Media[]> {
    const gone: Media[] = []
    for (const id of [...ids].sort()) {
      const media = await deleteMedia(trx, id)
      if (media === undefined) continue
      await release(trx, media)
      gone.push(media)
    }
    return gone
  }

  return {
    deleteRows,
    removeFiles,

    /** Clears the view log of media that are about to be deleted, piece by piece. */
    async clearViews (ids: string[]): Promise<void> {
      for (const id of ids) await deleteViewsOf(db, id)
    },

    /** A media, at most a second old; undefined if there is none, also for an id that is not well formed. */
    find: async (id: string): Promise<Media | undefined> => isUuid(id) ? await facts.get(id.toLowerCase()) : undefined,

    /** To be called when a media was changed in another way: this process sees the change at its next look. */
    forget: (id: string): void => facts.forget(id),

    /** A media as it is at this moment. */
    findNow: (id: string): Promise<Media | undefined> => findMedia(db, id),

    /** Media as they are at this moment, by id. */
    findAllNow: async (ids: string[]): Promise<Map<string, Media>> => new Map((await findAllMedia(db, ids)).map((media) => [media.id, media])),

    async list (filter: MediaFilter, page: PageQuery): Promise<Page<Media>> {
      const { items, total } = await listMedia(db, filter, page)
      return pageOf(items, total, page)
    },

    async change (id: string, { title, visibility }: { title?: string, visibility?: Visibility }): Promise<Media> {
      const changed = await updateMedia(db, id, { ...(title !== undefined && { title: title.trim() }), ...(visibility !== undefined && { visibility }) }, now())
      facts.forget(id)
      if (changed === undefined) throw new ApiError('not_found')
      return changed
    },

    /** Every link minted so far is dead at once. */
    async revokeLinks (id: string): Promise<void> {
      const found = await updateGeneration(db, id)
      facts.forget(id)
      if (!found) throw new ApiError('not_found')
    },

    /** Deletes a media, its views, its figures and then its file. `media_in_use` while a lecture uses it. */
    async remove (id: string): Promise<void> {
      try {
        if (await findLectureOf(db, id)) throw new ApiError('media_in_use')
        await deleteViewsOf(db, id)
        const gone = await db.transaction().execute((trx) => deleteRows(trx, [id]))
        await removeFiles(gone)
        if (gone.length === 0) throw new ApiError('not_found')
      } catch (error) {
        throw foreignKeyViolation(error) ? new ApiError('media_in_use', { cause: error }) : error
      }
    }
  }
}
