import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { deleteRenditionJob, insertRenditionJob } from '../jobs/job-store.js'
import { clearRendition, listWithoutRendition, updateRenditionWaiting } from '../media/media-rendition-store.js'
import { WAITING, type Rendition } from '../media/rendition.js'
import { lockMedia } from '../media/media-store.js'
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

  /** Returns a waiting rendition if a media needs one, and null otherwise. */
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

  /** Deletes the job of a rendition, in the transaction that deletes or protects the media. */
  async cancel (trx: Transaction<Database>, id: string): Promise<void> {
    await deleteRenditionJob(trx, id)
  }

  /**
   * Queues the renditions that are missing because TRANSCODE was off, or ffmpeg was missing, at the upload.
   * Returns their number.
   */
  async queueMissing (signal: AbortSignal): Promise<number> {
    const { db, isOn } = this.#options
    let queued = 0
    let last: string | undefined
    for (let page: Media[] | undefined; isOn && !signal.aborted && page?.length !== 0;) {
      page = await listWithoutRendition(db, last, MEDIA_PER_PAGE)
      last = page.at(-1)?.id
      for (const { id } of page.filter(lacksRendition)) if (await this.#queueOne(id)) queued++
    }
    return queued
  }

  /** Reads the media again under a lock: it may be protected now, or another process may have queued its rendition. */
  async #queueOne (id: string): Promise<boolean> {
    return await this.#options.db.transaction().execute(async (trx) => {
      const media = await lockMedia(trx, id)
      if (media === undefined || !lacksRendition(media)) return false
      await this.requeue(trx, media)
      return true
    })
  }
}

function lacksRendition ({ protection, rendition }: Media): boolean {
  if (protection !== 'none') return false
  return rendition === null || rendition.error?.code === 'ffmpeg_missing'
}
