import type { Kysely } from 'kysely'
import type { Readable } from 'node:stream'
import type { Database } from '../database/tables.js'
import type { Library } from '../media/library.js'
import { updatePackaging, updatePoster } from '../media/media-store.js'
import type { Media } from '../media/schema.js'
import type { Keyring } from '../secrets.js'
import type { BlobStore, Draft } from '../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../time.js'
import { newContentKey, sealContentKey } from './content-keys.js'
import { hasFfmpeg, takePicture, transcode } from './ffmpeg.js'
import { claimJob, deleteJobById, updateAllJobs, updateAttempts, updateJob, type Job } from './job-store.js'
import { packageFile } from './packager.js'
import { copyable, ofFile, problemOf, Unpackageable } from './unpackageable.js'

const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const LOOK_EVERY_MS = SECOND
/** What is not the file's fault (a full disk, a lost database) is tried again after growing delays. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE]
/** A file that ended its process so often (out of memory, say) waits for its lease after a restart, like those of other processes. */
const HASTY_ATTEMPTS = 3
/** More restarts than that during one file are the file's doing. */
const MAX_ATTEMPTS = 25
/** Software H.264 at its fastest useful setting keeps up with 720p on two cores; more is left for larger pictures. */
const MIN_TRANSCODE_MS = 10 * MINUTE
const TRANSCODE_FACTOR = 6
/** A header may claim any length. */
const MAX_TRANSCODE_MS = 6 * 60 * MINUTE
const POSTER_LIMIT_MS = MINUTE
/** MPEG-TS adds about a tenth; H.264 of a better codec may be several times as large. Far beyond that a hostile file fills the disk. */
const PACKAGE_FACTOR = 2
const TRANSCODED_FACTOR = 8
const MIN_MADE_BYTES = 256 * 1024 * 1024
/** 33 hours at six seconds each. A few megabytes may hold a key frame every six seconds for years: the index of their package would be as large. */
const MAX_SEGMENTS = 20_000

interface RunnerOptions {
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  keys: Keyring
  now: Clock
  /** Whether ffmpeg may be used, if it is there. */
  ffmpeg: boolean
  onError: (error: unknown, mediaId: string) => void
}

/**
 * Packages queued media, one at a time. A process that dies leaves its job to others when its lease ends, or, where it was the only
 * one (`alone`), to the next start.
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
    this.#timer = setInterval(() => { this.#running ??= this.#work().finally(() => { this.#running = undefined }) }, LOOK_EVERY_MS)
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
    const renewal = setInterval(() => { updateJob(db, job, now() + LEASE_MS).catch(() => {}) }, RENEW_EVERY_MS)
    try {
      if (await updateAttempts(db, job, 1) > MAX_ATTEMPTS) throw new Unpackageable('packaging_failed')
      const media = await library.findNow(job.mediaId)
      if (media?.status === 'processing' && media.provider === 'local') await this.#package(media)
      if (media?.type === 'video' && media.posterBlob === null && this.#mayUseFfmpeg() && !this.#stopping.signal.aborted) await this.#takePoster(media).catch((error: unknown) => onError(error, media.id))
      await deleteJobById(db, job.id)
    } catch (error) {
      if (this.#stopping.signal.aborted) {
        await updateAttempts(db, job, -1)
        await updateJob(db, job, now())
        return
      }
      await this.#failed(job, error)
      onError(error, job.mediaId)
    } finally {
      clearInterval(renewal)
      library.forget(job.mediaId)
    }
  }

  async #package (media: Media): Promise<void> {
    const { db, blobs, keys } = this.#options
    const source = await this.#playableSource(media)
    const contentKey = newContentKey()
    const draft = blobs.reserve()
    try {
      const order = { path: source.path, target: draft.path, maxBytes: PACKAGE_FACTOR * media.sizeBytes! + MIN_MADE_BYTES, maxSegments: MAX_SEGMENTS, contentKey, durationMs: media.durationMs }
      const segments = await packageFile(order, this.#stopping.signal, reportTo((progress) => updatePackaging(db, media.id, { progress })))
        .catch((error: unknown) => { throw ofFile(error) }).finally(() => source.discard())
      if (segments.length === 0) throw new Unpackageable('source_has_no_media')
      const blobName = await draft.publish()
      const kept = await updatePackaging(db, media.id, { packaged: { blobName, index: JSON.stringify(segments), contentKey: sealContentKey(contentKey, media.id, keys) } })
      if (!kept) await blobs.remove(blobName)
    } finally {
      await draft.discard()
    }
  }

  /** The file itself, or, where its codecs need it and ffmpeg is there, a draft in codecs that an encrypted stream takes. */
  async #playableSource (media: Media): Promise<{ path: string, discard (): Promise<void> }> {
    const { blobs } = this.#options
    const path = blobs.pathOf(media.blobName!)
    const problem = problemOf(media)
    if (problem === undefined) return { path, discard: async () => {} }
    if (!this.#mayUseFfmpeg()) throw problem
    const limitMs = Math.min(MAX_TRANSCODE_MS, MIN_TRANSCODE_MS + TRANSCODE_FACTOR * (media.durationMs ?? 0))
    return await this.#receive(transcode(path, copyable(media), limitMs), TRANSCODED_FACTOR * media.sizeBytes! + MIN_MADE_BYTES)
  }

  #mayUseFfmpeg (): boolean {
    return this.#options.ffmpeg && hasFfmpeg()
  }

  /** A picture from a tenth of the way in, at most five seconds. A video without one plays all the same. */
  async #takePoster (media: Media): Promise<void> {
    const { db, blobs } = this.#options
    const atSeconds = Math.min(5, (media.durationMs ?? 0) / SECOND / 10)
    const draft = await this.#receive(takePicture(blobs.pathOf(media.blobName!), atSeconds, POSTER_LIMIT_MS), MIN_MADE_BYTES)
    try {
      if (draft.sizeBytes === 0) return
      const blobName = await draft.publish()
      if (!await updatePoster(db, media.id, blobName)) await blobs.remove(blobName)
    } finally {
      await draft.discard()
    }
  }

  /** Writes down what is being made of a file, until the runner stops. Throws {@link Unpackageable} for what is the file's fault; what the store says is not. */
  async #receive (bytes: Readable, maxBytes: number): Promise<Draft> {
    const { signal } = this.#stopping
    const cut = () => { bytes.destroy(new Error('the runner stops')) }
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

/** Writes down percents that are more than the last. That one is lost does not matter. */
function reportTo (write: (percent: number) => Promise<unknown>): (percent: number) => void {
  let last = 0
  return (percent) => {
    if (percent > last) write(last = percent).catch(() => {})
  }
}
