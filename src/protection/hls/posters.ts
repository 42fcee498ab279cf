import type { Kysely } from 'kysely'
import { MiB } from '../../bytes.js'
import type { Database } from '../../database/tables.js'
import { updatePoster } from '../../media/media-protection-store.js'
import type { Media } from '../../media/schema.js'
import type { BlobStore, Draft } from '../../storage/blob-store.js'
import { SECOND } from '../../time.js'
import { exceedsPixels, type Ffmpeg } from './ffmpeg.js'
import { receiveOutput } from './receive-output.js'
import { Unpackageable } from './unpackageable.js'

/** A JPEG with a width of 1280 pixels has 0.1 to 0.6 MB. */
const MAX_POSTER_BYTES = 8 * MiB
const LATEST_SECOND = 5

interface Options {
  db: Kysely<Database>
  blobs: BlobStore
  ffmpeg: Ffmpeg | undefined
  onNoPicture: (reason: string, mediaId: string) => void
}

/** Creates posters of videos if ffmpeg is installed. */
export function createPosters ({ db, blobs, ffmpeg, onNoPicture }: Options) {
  async function publish (media: Media, draft: Draft): Promise<void> {
    try {
      if (draft.sizeBytes === 0) throw new Unpackageable('source_has_no_media', 'ffmpeg found no picture in it')
      const blobName = await draft.publish()
      const kept = await updatePoster(db, media.id, blobName)
      await (kept ? blobs.markCommitted(blobName) : blobs.remove(blobName))
    } finally {
      await draft.discard()
    }
  }

  /** Takes the picture at a time. A video of one picture has none later than its start. */
  async function takeFrom (media: Media, atSeconds: number, signal: AbortSignal): Promise<Draft> {
    const picture = ffmpeg!.takePicture(blobs.pathOf(media.blobName!), atSeconds)
    const draft = await receiveOutput(blobs, picture, MAX_POSTER_BYTES, signal)
    if (draft.sizeBytes > 0 || atSeconds === 0) return draft
    await draft.discard()
    return await takeFrom(media, 0, signal)
  }

  return {
    /**
     * Stores the picture at a tenth of the duration, and at most five seconds after the start. A file without a picture
     * is reported, and plays without a poster. **Throws** errors that are not a fault of the file.
     */
    async take (media: Media, signal: AbortSignal): Promise<void> {
      if ((await ffmpeg?.version()) === undefined) return
      if (exceedsPixels(media)) return onNoPicture(`${media.width} × ${media.height} pixels are too many`, media.id)
      const atSeconds = Math.min(LATEST_SECOND, (media.durationMs ?? 0) / SECOND / 10)
      try {
        await publish(media, await takeFrom(media, atSeconds, signal))
      } catch (error) {
        if (!(error instanceof Unpackageable)) throw error
        onNoPicture((error.cause as Error | undefined)?.message ?? error.message, media.id)
      }
    }
  }
}
