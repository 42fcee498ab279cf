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
  /** Queues the removal of a media's rows and files, in the transaction that deletes it. */
  release(trx: Transaction<Database>, media: Media): Promise<void>
  /** Called after the transaction that marks media as deleted. */
  onReleased(): void
}

/** Fewer than SQLite's maximum of parameters in a query. */
const MARK_BATCH = 500

/** Media. The rules in src/access/ decide who may watch or change them. */
export class Library {
  readonly #options: LibraryOptions
  readonly #records: RecordCache<Media>

  constructor (options: LibraryOptions) {
    const { db, clock } = options
    this.#options = options
    this.#records = new RecordCache((id) => findMedia(db, id), clock)
  }

  /** Finds a media. The result may be one second old. Returns undefined also for a malformed id. */
  async find (id: string, since?: number): Promise<Media | undefined> {
    return isUuid(id) ? await this.#records.get(id.toLowerCase(), since) : undefined
  }

  /** Finds a media without the cache. */
  findNow (id: string): Promise<Media | undefined> {
    return findMedia(this.#options.db, id)
  }

  /** Finds several media by id without the cache. */
  async findAllNow (ids: string[]): Promise<Map<string, Media>> {
    return new Map((await findAllMedia(this.#options.db, ids)).map((media) => [media.id, media]))
  }

  /**
   * Must be called after any other change to a media, so that the next {@link find} of this process reads the media
   * again.
   */
  invalidate (id: string): void {
    this.#records.invalidate(id)
  }

  async list (filter: MediaFilter, page: PageQuery): Promise<Page<Media>> {
    const { items, total } = await listMedia(this.#options.db, filter, page)
    return pageOf(items, total, page)
  }

  /** Changes the title and visibility of a media. **Throws** `not_found`. */
  async change (id: string, { title, visibility }: { title?: string; visibility?: Visibility }): Promise<Media> {
    const { db, clock } = this.#options
    const change = {
      ...(title !== undefined && { title: title.trim() }),
      ...(visibility !== undefined && { visibility })
    }
    const changed = await updateMedia(db, id, change, clock.now())
    this.invalidate(id)
    if (changed === undefined) throw mediaNotFound()
    return changed
  }

  /** Revokes every link issued so far. **Throws** `not_found`. */
  async revokeLinks (id: string): Promise<void> {
    const isFound = await updateGeneration(this.#options.db, id)
    this.invalidate(id)
    if (!isFound) throw mediaNotFound()
  }

  /**
   * Deletes a media. Hides it and releases its quota at once; a job deletes its views and files. **Throws**
   * `media_in_use`, `not_found`.
   */
  async remove (id: string): Promise<void> {
    const marked = await this.#options.db.transaction().execute(async (trx) => {
      if (await findLectureOf(trx, id)) throw new ApiError('media_in_use')
      const marked = await this.markDeleted(trx, [id])
      if (marked.length === 0) throw mediaNotFound()
      await addToCounters(trx, countMedia(new Map(), marked, -1))
      return marked
    })
    this.released(marked)
  }

  /**
   * Marks media as deleted in the caller's transaction, which hides them, and queues their removal. The caller must
   * update the counters (see {@link countMedia}), and call {@link released} after the commit.
   */
  async markDeleted (trx: Transaction<Database>, ids: string[]): Promise<Media[]> {
    const { clock, release } = this.#options
    const marked: Media[] = []
    const sorted = [...ids].sort()
    for (let at = 0; at < sorted.length; at += MARK_BATCH) {
      marked.push(...(await markMediaDeleted(trx, sorted.slice(at, at + MARK_BATCH), clock.now())))
    }
    for (const media of marked) await release(trx, media)
    return marked
  }

  /** Must be called after the transaction of {@link markDeleted} is committed. */
  released (marked: Media[]): void {
    for (const { id } of marked) this.invalidate(id)
    this.#options.onReleased()
  }
}
