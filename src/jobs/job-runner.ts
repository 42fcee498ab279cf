import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { SECOND, type Clock } from '../time.js'
import type { Job, JobKind } from './job.js'
import { claimJob, deleteJob, updateAllJobs, updateJob } from './job-store.js'

const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const POLL_EVERY_MS = SECOND

/** The interface between the work on a job and its runner. */
export interface JobRun {
  /** Aborts when the runner stops, and when the job was deleted or replaced. */
  signal: AbortSignal
  /** Reports progress, which resets the number of failures. */
  onProgress(): void
}

/** The job is done, or it must wait and runs again after `postponeMs`. */
export type JobResult = 'done' | { postponeMs: number }

export interface JobRunnerOptions<Kind extends JobKind> {
  db: Kysely<Database>
  clock: Clock
  /** Kinds of jobs, in the order in which the runner claims them. */
  kinds: Kind[]
  /** Maximum number of jobs that run at once. */
  concurrency?: number
  pollEveryMs?: number
  /** A job with more attempts fails, because it has crashed its process this often. Undefined means no limit. */
  maxAttempts?: number
  /**
   * After a restart of the only instance, a job with more attempts waits until its lease ends. Undefined means no
   * limit.
   */
  maxEagerAttempts?: number
  /** Works on a job. After a failure or a crash of its process, the job runs again from the start. */
  work(job: Job<Kind>, run: JobRun): Promise<JobResult>
  /** Returns the backoff after a failure, which `job.failures` already includes. Undefined means that the job fails. */
  retryDelayMs(job: Job<Kind>, error: unknown): number | undefined
  /**
   * Records that a job failed. The runner then deletes the job's row. Like `work`, this function may run more than
   * once.
   */
  giveUp?(job: Job<Kind>, error: unknown): Promise<void>
  /** Logs a failure of a job, or of the queue itself. */
  onError(error: unknown, job: Job<Kind> | undefined): void
}

/**
 * Runs queued jobs of some kinds. Each job has only one worker at a time, across all processes. The worker holds a
 * lease on the job and renews it. If its process dies, another process claims the job when the lease ends. An only
 * instance claims the job at its next start.
 */
export class JobRunner<Kind extends JobKind> {
  readonly #options: JobRunnerOptions<Kind>
  readonly #stopping = new AbortController()
  /** Each worker claims and runs one job after another, until no job is due. */
  readonly #workers = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #wokenAgain = false

  constructor (options: JobRunnerOptions<Kind>) {
    this.#options = options
  }

  /** Starts to poll for jobs. With `isOnlyInstance`, all leases belong to dead processes, and the jobs are due now. */
  async start (isOnlyInstance: boolean): Promise<void> {
    const { db, clock, kinds, maxEagerAttempts, pollEveryMs = POLL_EVERY_MS, onError } = this.#options
    if (isOnlyInstance) {
      // If this update fails, for example on a full disk, the jobs wait until their leases end.
      await updateAllJobs(db, kinds, clock.now(), maxEagerAttempts).catch((error: unknown) => onError(error, undefined))
    }
    if (this.#stopping.signal.aborted) return
    this.#timer = setInterval(() => this.wake(), pollEveryMs)
    this.#timer.unref()
    this.wake()
  }

  /** Polls for due jobs now. */
  wake (): void {
    this.#wokenAgain = true
    if (this.#stopping.signal.aborted || this.#workers.size >= (this.#options.concurrency ?? 1)) return
    const worker = this.#runJobs().finally(() => {
      this.#workers.delete(worker)
    })
    this.#workers.add(worker)
  }

  /** Resolves when no job runs. */
  async idle (): Promise<void> {
    while (this.#workers.size > 0) await Promise.all(this.#workers)
  }

  /**
   * Interrupts the running jobs and returns them to the queue, where they are due at once. An interruption does not
   * count as a failure.
   */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await this.idle()
  }

  async #runJobs (): Promise<void> {
    let job: Job<Kind> | undefined
    try {
      job = await this.#claim()
      while (job !== undefined) {
        // At the same time, another worker polls for the next job.
        this.wake()
        await this.#run(job)
        job = undefined
        job = await this.#claim()
      }
    } catch (error) {
      this.#options.onError(error, job)
    }
  }

  async #claim (): Promise<Job<Kind> | undefined> {
    const { db, kinds, clock } = this.#options
    let job: Job<Kind> | undefined
    do {
      if (this.#stopping.signal.aborted) return undefined
      this.#wokenAgain = false
      job = await claimJob(db, kinds, clock.now(), LEASE_MS)
      // The query may have missed a job that was queued during the query.
    } while (job === undefined && this.#wokenAgain)
    return job
  }

  async #run (job: Job<Kind>): Promise<void> {
    const { maxAttempts = Infinity, work } = this.#options
    const stop = this.#stopping.signal
    const lease = this.#keepLease(job)
    try {
      stop.throwIfAborted()
      if (job.attempts > maxAttempts) throw new Error(`the job ended its process ${maxAttempts} times`)
      const onProgress = () => {
        job.failures = 0
      }
      const result = await work(job, { signal: AbortSignal.any([stop, lease.lost]), onProgress })
      await lease.end()
      await this.#finish(job, result)
    } catch (error) {
      await lease.end()
      if (stop.aborted) await this.#requeue(job, 0)
      else if (!lease.lost.aborted) await this.#fail(job, error)
    }
  }

  /**
   * Renews a lease until `end` resolves. After that, no renewal is pending. `lost` aborts when the job was deleted or
   * replaced.
   */
  #keepLease (job: Job<Kind>): { lost: AbortSignal; end(): Promise<void> } {
    const { db, clock } = this.#options
    const lost = new AbortController()
    let renewal = Promise.resolve()
    const renew = async () => {
      if (!(await updateJob(db, job.id, { runAfter: clock.now() + LEASE_MS, failures: job.failures }))) lost.abort()
    }
    const timer = setInterval(() => {
      // A failed renewal does no harm, because two more follow before the lease ends.
      renewal = renew().catch(() => {})
    }, RENEW_EVERY_MS)
    return {
      lost: lost.signal,
      async end () {
        clearInterval(timer)
        await renewal
      }
    }
  }

  async #finish (job: Job<Kind>, result: JobResult): Promise<void> {
    if (result === 'done') return await deleteJob(this.#options.db, job.id)
    job.failures = 0
    await this.#requeue(job, result.postponeMs)
  }

  async #fail (job: Job<Kind>, error: unknown): Promise<void> {
    const { db, maxAttempts = Infinity, retryDelayMs, giveUp, onError } = this.#options
    job.failures++
    onError(error, job)
    const delayMs = job.attempts > maxAttempts ? undefined : retryDelayMs(job, error)
    if (delayMs !== undefined) return await this.#requeue(job, delayMs)
    await giveUp?.(job, error)
    await deleteJob(db, job.id)
  }

  /** Returns a job to the queue. The attempt is not counted, because the job did not crash its process. */
  async #requeue ({ id, failures, attempts }: Job<Kind>, delayMs: number): Promise<void> {
    const { db, clock } = this.#options
    await updateJob(db, id, { runAfter: clock.now() + delayMs, failures, attempts: attempts - 1 })
  }
}
