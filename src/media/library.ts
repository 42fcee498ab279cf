import type { Kysely } from 'kysely'
import { validate as isUuid } from 'uuid'
import { foreignKeyViolation } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { createFactsCache } from '../facts-cache.js'
import { pageOf, type Page, type PageQuery } from '../page.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { deleteMedia, findMedia, listMedia, updateGeneration, updateMedia, type MediaFilter } from './media-store.js'
import type { Media, Visibility } from './schema.js'

export type Library = ReturnType<typeof createLibrary>

/** The media there are. Who may do what is decided in src/access/. */
export function createLibrary ({ db, blobs, now }: { db: Kysely<Database>, blobs: BlobStore, now: Clock }) {
  const facts = createFactsCache<Media>((id) => findMedia(db, id))

  return {
    /** A media, at most a second old; undefined if there is none, also for an id that is not well formed. */
    find: async (id: string): Promise<Media | undefined> => isUuid(id) ? await facts.get(id.toLowerCase()) : undefined,

    /** A media as it is at this moment. */
    findNow: (id: string): Promise<Media | undefined> => findMedia(db, id),

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
        const gone = await db.transaction().execute((trx) => deleteMedia(trx, id))
        facts.forget(id)
        if (gone === undefined) throw new ApiError('not_found')
        // The row is what counts: a file that could not be removed is the sweep's.
        if (gone.blobName !== null) await blobs.remove(gone.blobName).catch(() => {})
      } catch (error) {
        throw foreignKeyViolation(error) ? new ApiError('media_in_use', { cause: error }) : error
      }
    }
  }
}
