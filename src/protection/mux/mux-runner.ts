import type { Kysely } from 'kysely'
import type { Database } from '../../database/tables.js'
import type { Library } from '../../media/library.js'
import { DAY, MINUTE, SECOND, type Clock } from '../../time.js'
import { claimJob, deleteJobById, updateAllJobs, updateJob, type Job, type JobKind } from '../../jobs/job-store.js'
import { faultOf, type MuxFault } from './mux-fault.js'
import type { MuxIngest, Step } from './mux-ingest.js'
import type { MuxLedger } from './mux-ledger.js'

const KINDS: JobKind[] = ['mux-ingest', 'mux-removal']
const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
/** A long upload holds up no other. */
const LANES = 4
/** After a failure; the last one from there on. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE]
/**
 * Mux tells by webhook; this is for what got lost on the way: a tenth of the time that a media has been waiting for.
 */
const ASK_FACTOR = 0.1
const ASK_AFTER_MS = { least: 5 * SECOND, most: 5 * MINUTE }
/** Longer than any trouble that Mux had; then a media fails, and a deletion is left to people. */
const GIVE_UP_AFTER_MS = { 'mux-ingest': DAY, 'mux-removal': 30 * DAY }

interface RunnerOptions {
  db: Kysely<Database>
  library: Library
  ingest: MuxIngest
  ledger: MuxLedger
  now: Clock
  lookEveryMs: number
  onFault: (fault: MuxFault, about: object) => void
}

/**
 * Works off what waits for Mux, and asks after what Mux has not told. A job is taken by one process at a time, for a
 * lease that it renews; what a process leaves behind is taken up by another, or, where it was the only one (`alone`),
 * at the next start.
 */
export class MuxRunner {
  readonly #options: RunnerOptions
  readonly #running = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #looking = false

  constructor (options: RunnerOptions) {
    this.#options = options
  }

  async start (alone: boolean): Promise<void> {
    if (alone) await updateAllJobs(this.#options.db, KINDS, this.#options.now(), 0)
    if (this.#stopping.signal.aborted) return
    this.#timer = setInterval(() => {
      void this.#look()
    }, this.#options.lookEveryMs)
    this.#timer.unref()
  }

  /** Breaks off what runs: it is taken up again later. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await Promise.all(this.#running)
  }

  async #look (): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const { db, now, onFault } = this.#options
    try {
      while (this.#running.size < LANES && !this.#stopping.signal.aborted) {
        const job = await claimJob(db, KINDS, now(), LEASE_MS)
        if (job === undefined) break
        const run = this.#run(job)
          .catch((error: unknown) => onFault(faultOf(error), aboutOf(job)))
          .finally(() => {
            this.#running.delete(run)
          })
        this.#running.add(run)
      }
    } catch (error) {
      onFault(faultOf(error), {})
    } finally {
      this.#looking = false
    }
  }

  async #run (job: Job): Promise<void> {
    const { db, now } = this.#options
    const gone = new AbortController()
    const renewal = setInterval(() => {
      updateJob(db, job, now() + LEASE_MS).then(
        (there) => {
          if (!there) gone.abort()
        },
        () => {}
      )
    }, RENEW_EVERY_MS)
    const step: Step = {
      signal: AbortSignal.any([this.#stopping.signal, gone.signal]),
      onProgress: () => {
        job.failures = 0
      }
    }
    try {
      const waiting = await this.#do(job, step)
      if (!waiting) await deleteJobById(db, job.id)
      else if (!(await this.#giveUp(job, 'Mux has not finished within a day.'))) {
        await updateJob(db, { ...job, failures: 0 }, now() + askAfterMs(now() - job.createdAt))
      }
    } catch (error) {
      if (this.#stopping.signal.aborted) await updateJob(db, job, now())
      else if (!gone.signal.aborted) await this.#failed(job, faultOf(error))
    } finally {
      clearInterval(renewal)
    }
  }

  /** Whether the job has something to wait for. */
  async #do ({ mediaId, removal }: Job, step: Step): Promise<boolean> {
    const { ingest, library } = this.#options
    if (removal !== null) {
      await ingest.remove(removal, step)
      return false
    }
    const media = await library.findNow(mediaId)
    if (media?.status !== 'processing' || media.provider !== 'mux') return false
    await ingest.advance(media, step)
    return (await library.findNow(mediaId))?.status === 'processing'
  }

  async #failed (job: Job, fault: MuxFault): Promise<void> {
    const { db, now, onFault } = this.#options
    onFault(fault, { ...aboutOf(job), failures: job.failures + 1 })
    if (fault.code !== undefined && job.removal === null) await this.#fail(job, fault.code, fault.message)
    else if (!(await this.#giveUp(job, fault.message))) {
      const delayMs = Math.max(fault.retryAfterMs, RETRY_AFTER_MS[Math.min(job.failures, RETRY_AFTER_MS.length - 1)]!)
      await updateJob(db, { ...job, failures: job.failures + 1 }, now() + delayMs)
    }
  }

  /** Ends a job that has been tried for too long; its media fails with the last reason. */
  async #giveUp (job: Job, reason: string): Promise<boolean> {
    const { db, now } = this.#options
    if (
      (job.kind !== 'mux-ingest' && job.kind !== 'mux-removal') ||
      now() - job.createdAt < GIVE_UP_AFTER_MS[job.kind]
    ) {
      return false
    }
    if (job.removal === null) {
      await this.#fail(job, 'provider_unavailable', `It could not be handed to Mux within a day. ${reason}`)
    } else await deleteJobById(db, job.id)
    return true
  }

  async #fail (job: Job, code: string, message: string): Promise<void> {
    const { db, library, ledger } = this.#options
    const media = await library.findNow(job.mediaId)
    if (media !== undefined) {
      await ledger.enter({ failure: { code, message }, uploadId: media.mux?.uploadId ?? null, mediaId: media.id })
    }
    await deleteJobById(db, job.id)
  }
}

function aboutOf ({ kind, mediaId, removal }: Job): object {
  return {
    job: kind,
    ...(removal === null ? { media_id: mediaId } : { asset_id: removal.assetId, upload_id: removal.uploadId })
  }
}

function askAfterMs (waitedMs: number): number {
  return Math.min(ASK_AFTER_MS.most, Math.max(ASK_AFTER_MS.least, waitedMs * ASK_FACTOR))
}
