import type { Kysely, Transaction } from 'kysely'
import { validate as isUuid } from 'uuid'
import { addToCounters } from '../database/counters.js'
import type { Database } from '../database/tables.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { RecordCache } from '../cache/record-cache.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import type { Clock } from '../time.js'
import { listMedia, type MediaFilter } from './media-list.js'
import {
  countMedia,
  findAllMedia,
  findLectureOf,
  findMedia,
  markMediaDeleted,
  updateGeneration,
  updateMedia
} from './media-store.js'
import type { Media, Visibility } from './schema.js'

interface LibraryOptions {
  db: Kysely<Database>
  clock: Clock
  /** Queues what is to be removed of a media, in the transaction that deletes it. */
  release(trx: Transaction<Database>, media: Media): Promise<void>
  /** Called after that transaction. */
  onReleased(): void
}

/** Below SQLite's limit of parameters. */
const MARK_BATCH = 500

export type Library = ReturnType<typeof createLibrary>

/** The media there are. Who may do what is decided in src/access/. */
export function createLibrary ({ db, clock, release, onReleased }: LibraryOptions) {
  const facts = new RecordCache<Media>((id) => findMedia(db, id), clock)

  /**
   * Hides media at once, as part of a larger change, which counts them off with {@link countMedia}; a job removes what
   * belongs to them.
   */
  async function markDeleted (trx: Transaction<Database>, ids: string[]): Promise<Media[]> {
    const marked: Media[] = []
    const sorted = [...ids].sort()
    for (let at = 0; at < sorted.length; at += MARK_BATCH) {
      marked.push(...(await markMediaDeleted(trx, sorted.slice(at, at + MARK_BATCH), clock.now())))
    }
    for (const media of marked) await release(trx, media)
    return marked
  }

  /** To be called after the transaction of {@link markDeleted}. */
  function released (marked: Media[]): void {
    for (const { id } of marked) facts.forget(id)
    onReleased()
  }

  return {
    markDeleted,
    released,

    /** A media, at most a second old; undefined if there is none, also for an id that is not well formed. */
    find: async (id: string, since?: number): Promise<Media | undefined> => {
      return isUuid(id) ? await facts.get(id.toLowerCase(), since) : undefined
    },

    /** To be called when a media was changed in another way: this process sees the change at its next look. */
    forget: (id: string): void => facts.forget(id),

    /** A media as it is at this moment. */
    findNow: (id: string): Promise<Media | undefined> => findMedia(db, id),

    /** Media as they are at this moment, by id. */
    findAllNow: async (ids: string[]): Promise<Map<string, Media>> =>
      new Map((await findAllMedia(db, ids)).map((media) => [media.id, media])),

    async list (filter: MediaFilter, page: PageQuery): Promise<Page<Media>> {
      const { items, total } = await listMedia(db, filter, page)
      return pageOf(items, total, page)
    },

    async change (id: string, { title, visibility }: { title?: string; visibility?: Visibility }): Promise<Media> {
      const changed = await updateMedia(
        db,
        id,
        { ...(title !== undefined && { title: title.trim() }), ...(visibility !== undefined && { visibility }) },
        clock.now()
      )
      facts.forget(id)
      if (changed === undefined) throw mediaNotFound()
      return changed
    },

    /** Every link minted so far is dead at once. */
    async revokeLinks (id: string): Promise<void> {
      const found = await updateGeneration(db, id)
      facts.forget(id)
      if (!found) throw mediaNotFound()
    },

    /**
     * Deletes a media. Nobody sees it any more, and its bytes are off the quota; its views and files follow. **Throws**
     * `media_in_use`, `not_found`.
     */
    async remove (id: string): Promise<void> {
      const marked = await db.transaction().execute(async (trx) => {
        if (await findLectureOf(trx, id)) throw new ApiError('media_in_use')
        const marked = await markDeleted(trx, [id])
        if (marked.length === 0) throw mediaNotFound()
        await addToCounters(trx, countMedia(new Map(), marked, -1))
        return marked
      })
      released(marked)
    }
  }
}
