import type { Kysely } from 'kysely'
import type { Readable } from 'node:stream'
import type { Database } from '../../database/tables.js'
import type { Library } from '../../media/library.js'
import { updatePackaging, updatePoster } from '../../media/media-store.js'
import type { Media } from '../../media/schema.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { BlobStore, Draft } from '../../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../../time.js'
import { newContentKey, sealContentKey } from '../content-keys.js'
import { MAX_PIXELS, type Ffmpeg } from './ffmpeg.js'
import { claimJob, deleteJobById, updateAllJobs, updateAttempts, updateJob, type Job } from '../../jobs/job-store.js'
import { insertPackageIndex } from './package-index-store.js'
import { packageFile } from './packager.js'
import { copyable, ofFile, problemOf, Unpackageable } from './unpackageable.js'

const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const LOOK_EVERY_MS = SECOND
/** What is not the file's fault (a full disk, a lost database) is tried again after growing delays. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE]
/**
 * A file that ended its process so often (out of memory, say) waits for its lease after a restart, like those of other
 * processes.
 */
const HASTY_ATTEMPTS = 3
/** More restarts than that during one file are the file's doing. */
const MAX_ATTEMPTS = 25
/** Software H.264 at its fastest useful setting keeps up with 720p on two cores; more is left for larger pictures. */
const MIN_TRANSCODE_MS = 10 * MINUTE
const TRANSCODE_FACTOR = 6
/** A header may claim any length. */
const MAX_TRANSCODE_MS = 6 * 60 * MINUTE
/**
 * MPEG-TS adds about a tenth; H.264 of a better codec may be several times as large. Far beyond that a hostile file
 * fills the disk.
 */
const PACKAGE_FACTOR = 2
const TRANSCODED_FACTOR = 8
const MIN_MADE_BYTES = 256 * 1024 * 1024
/** A JPEG of 1280 pixels takes 0.1 to 0.6 MB. */
const MAX_PICTURE_BYTES = 8 * 1024 * 1024
/**
 * 33 hours at six seconds each. A few megabytes may hold a key frame every six seconds for years: the index of their
 * package would be as large.
 */
const MAX_SEGMENTS = 20_000

interface RunnerOptions {
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  keys: Keyring
  now: Clock
  /** Undefined: as on a machine without it. */
  ffmpeg: Ffmpeg | undefined
  /** A failure to log; `mediaId` is empty where it is of no media. */
  onError: (error: unknown, mediaId: string) => void
  /** A video from which no picture could be taken; it plays all the same. */
  onNoPicture: (reason: string, mediaId: string) => void
}

/**
 * Packages queued media, one at a time. A process that dies leaves its job to others when its lease ends, or, where it
 * was the only one (`alone`), to the next start.
 */
export class PackageRunner {
  readonly #options: RunnerOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  readonly #stopping = new AbortController()

  constructor (options: RunnerOptions) {
    this.#options = options
  }

  async start (alone: boolean): Promise<void> {
    const { db, now, onError } = this.#options
    // Where that fails (a full disk, say), they wait for their leases.
    if (alone) await updateAllJobs(db, ['package'], now(), HASTY_ATTEMPTS).catch((error: unknown) => onError(error, ''))
    if (this.#stopping.signal.aborted) return
    this.#timer = setInterval(() => {
      this.#running ??= this.#work().finally(() => {
        this.#running = undefined
      })
    }, LOOK_EVERY_MS)
    this.#timer.unref()
  }

  /** Ends what is being packaged: it is taken up again later. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await this.#running
  }

  async #work (): Promise<void> {
    const { onError } = this.#options
    try {
      for (let job = await this.#claim(); job !== undefined; job = await this.#claim()) await this.#run(job)
    } catch (error) {
      onError(error, '')
    }
  }

  async #claim (): Promise<Job | undefined> {
    const { db, now } = this.#options
    return this.#stopping.signal.aborted ? undefined : await claimJob(db, ['package'], now(), LEASE_MS)
  }

  async #run (job: Job): Promise<void> {
    const { db, library, now, onError } = this.#options
    const renewal = setInterval(() => {
      updateJob(db, job, now() + LEASE_MS).catch(() => {})
    }, RENEW_EVERY_MS)
    try {
      if ((await updateAttempts(db, job, 1)) > MAX_ATTEMPTS) throw new Unpackageable('packaging_failed')
      await this.#do(job)
      await deleteJobById(db, job.id)
    } catch (error) {
      if (this.#stopping.signal.aborted) {
        await updateAttempts(db, job, -1)
        await updateJob(db, job, now())
        return
      }
      onError(error, job.mediaId)
      await this.#failed(job, error)
    } finally {
      clearInterval(renewal)
      library.forget(job.mediaId)
    }
  }

  /** Packages a media that waits for it, then takes its picture. What is done already is not done twice. */
  async #do (job: Job): Promise<void> {
    const { library } = this.#options
    const media = await library.findNow(job.mediaId)
    if (media === undefined) return
    if (media.status === 'processing' && media.provider === 'local') {
      await this.#package(media)
      library.forget(media.id)
    }
    if (media.type === 'video' && media.posterBlob === null) await this.#takePoster(media)
    this.#stopping.signal.throwIfAborted()
  }

  async #package (media: Media): Promise<void> {
    const { db, blobs, keys } = this.#options
    const source = await this.#playableSource(media)
    const contentKey = newContentKey()
    const draft = blobs.reserve()
    try {
      const order = {
        path: source.path,
        target: draft.path,
        maxBytes: PACKAGE_FACTOR * media.sizeBytes! + MIN_MADE_BYTES,
        maxSegments: MAX_SEGMENTS,
        contentKey,
        durationMs: media.durationMs
      }
      const made = await packageFile(
        order,
        this.#stopping.signal,
        reportTo((progress) => updatePackaging(db, media.id, { progress }))
      )
        .catch((error: unknown) => {
          throw ofFile(error)
        })
        .finally(() => source.discard())
      if (made.segments.length === 0) throw new Unpackageable('source_has_no_media')
      const blobName = await draft.publish()
      const packaged = { blobName, contentKey: sealContentKey(contentKey, media.id, keys) }
      const kept = await db.transaction().execute(async (trx) => {
        if (!(await updatePackaging(trx, media.id, { packaged }))) return false
        await insertPackageIndex(trx, media.id, blobName, made)
        return true
      })
      if (!kept) await blobs.remove(blobName)
    } finally {
      await draft.discard()
    }
  }

  /**
   * The file itself, or, where its codecs need it and ffmpeg is there, a draft in codecs that an encrypted stream
   * takes.
   */
  async #playableSource (media: Media): Promise<{ path: string; discard(): Promise<void> }> {
    const { blobs } = this.#options
    const path = blobs.pathOf(media.blobName!)
    const problem = problemOf(media)
    if (problem === undefined) return { path, discard: async () => {} }
    const ffmpeg = await this.#availableFfmpeg()
    if (ffmpeg === undefined) throw problem
    if (exceedsPixels(media)) throw new Unpackageable('source_too_large')
    const limitMs = Math.min(MAX_TRANSCODE_MS, MIN_TRANSCODE_MS + TRANSCODE_FACTOR * (media.durationMs ?? 0))
    return await this.#receive(
      ffmpeg.transcode(path, copyable(media), limitMs),
      TRANSCODED_FACTOR * media.sizeBytes! + MIN_MADE_BYTES
    )
  }

  async #availableFfmpeg (): Promise<Ffmpeg | undefined> {
    const { ffmpeg } = this.#options
    return (await ffmpeg?.version()) === undefined ? undefined : ffmpeg
  }

  /**
   * A picture from a tenth of the way in, at most five seconds. A file from which none can be taken is told of and goes
   * without; what is not the file's fault is thrown.
   */
  async #takePoster (media: Media): Promise<void> {
    const { blobs, onNoPicture } = this.#options
    const ffmpeg = await this.#availableFfmpeg()
    if (ffmpeg === undefined) return
    if (exceedsPixels(media)) return onNoPicture(`${media.width} × ${media.height} pixels are too many`, media.id)
    const atSeconds = Math.min(5, (media.durationMs ?? 0) / SECOND / 10)
    try {
      await this.#keepPoster(
        media,
        await this.#receive(ffmpeg.takePicture(blobs.pathOf(media.blobName!), atSeconds), MAX_PICTURE_BYTES)
      )
    } catch (error) {
      if (!(error instanceof Unpackageable)) throw error
      onNoPicture((error.cause as Error | undefined)?.message ?? error.message, media.id)
    }
  }

  async #keepPoster (media: Media, draft: Draft): Promise<void> {
    const { db, blobs } = this.#options
    try {
      if (draft.sizeBytes === 0) throw new Unpackageable('source_has_no_media', 'ffmpeg found no picture in it')
      const blobName = await draft.publish()
      if (!(await updatePoster(db, media.id, blobName))) await blobs.remove(blobName)
    } finally {
      await draft.discard()
    }
  }

  /**
   * Writes down what is being made of a file, until the runner stops. Throws {@link Unpackageable} for what is the
   * file's fault; what the store says is not.
   */
  async #receive (bytes: Readable, maxBytes: number): Promise<Draft> {
    const { signal } = this.#stopping
    const cut = () => {
      bytes.destroy(new Error('the runner stops'))
    }
    signal.addEventListener('abort', cut)
    if (signal.aborted) cut()
    let left = maxBytes
    try {
      return await this.#options.blobs.receive(bytes, (more) => {
        if ((left -= more) < 0) throw new Unpackageable('source_inflated')
      })
    } catch (error) {
      // The store leaves its source alone; nobody else would end the thread or program behind it.
      bytes.destroy()
      throw ofFile(error)
    } finally {
      signal.removeEventListener('abort', cut)
    }
  }

  async #failed (job: Job, error: unknown): Promise<void> {
    const { db, now } = this.#options
    const delay = RETRY_AFTER_MS[job.failures]
    if (!(error instanceof Unpackageable) && delay !== undefined) {
      await updateAttempts(db, job, -1)
      await updateJob(db, { ...job, failures: job.failures + 1 }, now() + delay)
      return
    }
    const { code, message } = error instanceof Unpackageable ? error : new Unpackageable('packaging_failed')
    await db.transaction().execute(async (trx) => {
      await updatePackaging(trx, job.mediaId, { error: { code, message } })
      await deleteJobById(trx, job.id)
    })
  }
}

function exceedsPixels ({ width, height }: Media): boolean {
  return (width ?? 0) * (height ?? 0) > MAX_PIXELS
}

/** Writes down percents that are more than the last. That one is lost does not matter. */
function reportTo (write: (percent: number) => Promise<unknown>): (percent: number) => void {
  let last = 0
  return (percent) => {
    if (percent > last) write((last = percent)).catch(() => {})
  }
}
