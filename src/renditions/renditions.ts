import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { deleteRenditionJob, insertRenditionJob } from '../jobs/job-store.js'
import { clearRendition, listWithoutRendition, updateRenditionWaiting } from '../media/media-rendition-store.js'
import { WAITING, type Rendition } from '../media/rendition.js'
import type { Media } from '../media/schema.js'
import type { Clock } from '../time.js'

/** A page of media takes a few milliseconds on SQLite. */
const MEDIA_PER_PAGE = 200

interface Options {
  db: Kysely<Database>
  clock: Clock
  /** TRANSCODE=compatible. */
  isOn: boolean
}

type Playable = Pick<Media, 'playableEverywhere' | 'protection'>

/**
 * Decides which media get a rendition, and queues it. A protected media gets none, because its package is H.264 with
 * AAC or MP3 already.
 */
export class Renditions {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** Returns the rendition of a new media; null if it needs none. */
  first ({ playableEverywhere, protection }: Playable): Rendition | null {
    return this.#options.isOn && playableEverywhere === false && protection === 'none' ? WAITING : null
  }

  /** Queues the rendition of a new media, in the transaction that inserts it. */
  async queue (trx: Transaction<Database>, media: Media): Promise<void> {
    if (media.rendition !== null) await insertRenditionJob(trx, media, this.#options.clock.now())
  }

  /**
   * Queues or cancels the rendition of a media whose protection or description changed, in the transaction of the
   * change. A ready rendition stays.
   */
  async requeue (trx: Transaction<Database>, media: Pick<Media, 'id' | 'ownerId'> & Playable): Promise<void> {
    if (this.first(media) === null) {
      await this.cancel(trx, media.id)
      await clearRendition(trx, media.id)
    } else if (await updateRenditionWaiting(trx, media.id)) {
      await insertRenditionJob(trx, media, this.#options.clock.now())
    }
  }

  /** Ends the work on a rendition, in the transaction that deletes the media. */
  async cancel (trx: Transaction<Database>, id: string): Promise<void> {
    await deleteRenditionJob(trx, id)
  }

  /**
   * Queues the renditions of media that have none: uploaded while TRANSCODE was off, or while ffmpeg was missing.
   * Returns their number.
   */
  async queueMissing (signal: AbortSignal): Promise<number> {
    const { db, isOn } = this.#options
    let queued = 0
    let last: string | undefined
    for (let page: Media[] | undefined; isOn && !signal.aborted && page?.length !== 0;) {
      page = await listWithoutRendition(db, last, MEDIA_PER_PAGE)
      last = page.at(-1)?.id
      const missing = page.filter((media) => media.protection === 'none' && lacksRendition(media))
      for (const media of missing) await db.transaction().execute((trx) => this.requeue(trx, media))
      queued += missing.length
    }
    return queued
  }
}

function lacksRendition ({ rendition }: Media): boolean {
  return rendition === null || rendition.error?.code === 'ffmpeg_missing'
}
