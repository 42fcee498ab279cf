import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import type { Library } from '../media/library.js'
import { updatePackaging } from '../media/media-store.js'
import type { Media } from '../media/schema.js'
import type { Keyring } from '../secrets.js'
import type { BlobStore } from '../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../time.js'
import { newContentKey, sealContentKey } from './content-keys.js'
import { claimJob, deleteJob, updateAllJobs, updateJob, type Job } from './job-store.js'
import { packageFile } from './packager.js'

const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const LOOK_EVERY_MS = SECOND
/** What is not the file's fault (a full disk, a lost database) is tried again after growing delays. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE]
/** Packaged as they are; MediaInfo's names of what MPEG-TS and every player of HLS know. */
const VIDEO_CODECS = ['h264']
const AUDIO_CODECS = ['aac', 'mp3']

/** A failure that trying again does not mend. */
class Unpackageable extends Error {
  readonly code: string
  constructor (code: string, message: string) {
    super(message)
    this.code = code
  }
}

interface RunnerOptions {
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  keys: Keyring
  now: Clock
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
  #cancel: (() => void) | undefined
  #stopping = false

  constructor (options: RunnerOptions) {
    this.#options = options
  }

  async start (alone: boolean): Promise<void> {
    if (alone) await updateAllJobs(this.#options.db, this.#options.now())
    this.#timer = setInterval(() => { this.#running ??= this.#work().finally(() => { this.#running = undefined }) }, LOOK_EVERY_MS)
    this.#timer.unref()
  }

  /** Ends what is being packaged: it is taken up again later. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping = true
    this.#cancel?.()
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
    return this.#stopping ? undefined : await claimJob(db, now(), LEASE_MS)
  }

  async #run (job: Job): Promise<void> {
    const { db, library, now, onError } = this.#options
    const renewal = setInterval(() => { updateJob(db, job, now() + LEASE_MS).catch(() => {}) }, RENEW_EVERY_MS)
    let cancelled = false
    try {
      const media = await library.findNow(job.mediaId)
      if (media !== undefined && media.status === 'processing') await this.#package(media, () => { cancelled = true })
      await db.transaction().execute((trx) => deleteJob(trx, job.mediaId))
    } catch (error) {
      if (cancelled) await updateJob(db, job, now())
      else await this.#failed(job, error)
      if (!cancelled) onError(error, job.mediaId)
    } finally {
      clearInterval(renewal)
      library.forget(job.mediaId)
    }
  }

  async #package (media: Media, onCancel: () => void): Promise<void> {
    const { db, blobs, keys } = this.#options
    requireSupported(media)
    const contentKey = newContentKey()
    const packaging = packageFile({ path: blobs.pathOf(media.blobName!), contentKey, durationMs: media.durationMs }, (progress) => {
      updatePackaging(db, media.id, { progress }).catch(() => {})
    })
    this.#cancel = () => { onCancel(); packaging.bytes.destroy() }
    if (this.#stopping) this.#cancel()
    const draft = await blobs.receive(packaging.bytes, Infinity, () => new Error('no limit')).catch((error: unknown) => {
      // The store leaves its source alone; nobody else would end the thread.
      packaging.bytes.destroy()
      throw asFileFault(error)
    })
    try {
      const segments = await packaging.segments
      if (segments.length === 0) throw new Unpackageable('source_has_no_media', 'The file holds no pictures and no sound.')
      const blobName = await draft.publish()
      const kept = await updatePackaging(db, media.id, { packaged: { blobName, index: JSON.stringify(segments), contentKey: sealContentKey(contentKey, media.id, keys) } })
      if (!kept) await blobs.remove(blobName)
    } finally {
      this.#cancel = undefined
      await draft.discard()
    }
  }

  async #failed (job: Job, error: unknown): Promise<void> {
    const { db, now } = this.#options
    const delay = RETRY_AFTER_MS[job.failures]
    if (!(error instanceof Unpackageable) && delay !== undefined) {
      await updateJob(db, { ...job, failures: job.failures + 1 }, now() + delay)
      return
    }
    const reason = error instanceof Unpackageable ? { code: error.code, message: error.message } : { code: 'packaging_failed', message: 'The file could not be packaged.' }
    await db.transaction().execute(async (trx) => {
      await updatePackaging(trx, job.mediaId, { error: reason })
      await deleteJob(trx, job.mediaId)
    })
  }
}

function requireSupported ({ codecs, type }: Media): void {
  const known = [...VIDEO_CODECS, ...AUDIO_CODECS]
  const unknown = codecs.filter((codec) => !known.includes(codec))
  if (unknown.length > 0 || (type === 'video' && !codecs.some((codec) => VIDEO_CODECS.includes(codec)))) {
    throw new Unpackageable('source_codec_unsupported', `The file holds ${unknown.join(' and ')}; an encrypted stream takes H.264 video and AAC or MP3 sound.`)
  }
}

/** What the packager says of a file is the file's fault; what the store says is not. */
function asFileFault (error: unknown): unknown {
  return error instanceof Error && error.name === 'Error' ? new Unpackageable('source_damaged', 'The file is damaged: it could not be read to its end.') : error
}
