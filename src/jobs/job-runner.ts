import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { SECOND, type Clock } from '../time.js'
import type { Job, JobKind } from './job.js'
import { claimJob, deleteJob, updateAllJobs, updateJob } from './job-store.js'

const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const POLL_EVERY_MS = SECOND

/** What the work on a job needs of its runner. */
export interface JobRun {
  /** Aborted by a stop, and when the job was deleted or replaced. */
  signal: AbortSignal
  /** Reports progress: the count of failures begins again. */
  onProgress(): void
}

/** A job is done, or waits for something else and runs again after `postponeMs`. */
export type JobResult = 'done' | { postponeMs: number }

export interface JobRunnerOptions<Kind extends JobKind> {
  db: Kysely<Database>
  clock: Clock
  /** Kinds in the order in which they are claimed. */
  kinds: Kind[]
  /** How many jobs run at once. */
  concurrency?: number
  pollEveryMs?: number
  /** A job with more attempts ends as a failed one: it ended its process that often. Without it there is no limit. */
  maxAttempts?: number
  /** A job with more attempts waits for its lease after a restart of the only instance. Without it none does. */
  maxEagerAttempts?: number
  /** Does a job. It may run again from the start at any time, after a failure or the end of its process. */
  work(job: Job<Kind>, run: JobRun): Promise<JobResult>
  /** The backoff after a failure, which `job.failures` counts already; undefined ends the job. */
  retryDelayMs(job: Job<Kind>, error: unknown): number | undefined
  /** Records that a job ends as a failed one; then its row is deleted. It may run again, as `work` may. */
  giveUp?(job: Job<Kind>, error: unknown): Promise<void>
  /** Logs a failure of a job, or of the queue itself. */
  onError(error: unknown, job: Job<Kind> | undefined): void
}

/**
 * Runs queued jobs of some kinds, each by one worker of all processes at a time. A worker holds a job by a lease that
 * it renews. If its process dies, another one claims the job when the lease ends; the only instance claims it at its
 * next start.
 */
export class JobRunner<Kind extends JobKind> {
  readonly #options: JobRunnerOptions<Kind>
  readonly #stopping = new AbortController()
  /** Each claims and runs one job after the other, until none is due. */
  readonly #workers = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #wokenAgain = false

  constructor (options: JobRunnerOptions<Kind>) {
    this.#options = options
  }

  /** Starts to look for jobs. Where `isOnlyInstance`, leases were left by processes that died: they end now. */
  async start (isOnlyInstance: boolean): Promise<void> {
    const { db, clock, kinds, maxEagerAttempts, pollEveryMs = POLL_EVERY_MS, onError } = this.#options
    if (isOnlyInstance) {
      // Where that fails (a full disk, say), the jobs wait for their leases.
      await updateAllJobs(db, kinds, clock.now(), maxEagerAttempts).catch((error: unknown) => onError(error, undefined))
    }
    if (this.#stopping.signal.aborted) return
    this.#timer = setInterval(() => this.wake(), pollEveryMs)
    this.#timer.unref()
    this.wake()
  }

  /** Looks for due jobs now. */
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

  /** Interrupts the running jobs and gives them back. That is no failure: they are due at once. */
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
        // Another worker looks for the next job meanwhile.
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
      // A job that was queued during the query may have been missed by it.
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
      if (stop.aborted) await this.#giveBack(job, 0)
      else if (!lease.lost.aborted) await this.#fail(job, error)
    }
  }

  /** Renews a lease until `end`, after which no renewal arrives any more. `lost` aborts when the job is gone. */
  #keepLease (job: Job<Kind>): { lost: AbortSignal; end(): Promise<void> } {
    const { db, clock } = this.#options
    const lost = new AbortController()
    let renewal = Promise.resolve()
    const renew = async () => {
      if (!(await updateJob(db, job.id, { runAfter: clock.now() + LEASE_MS, failures: job.failures }))) lost.abort()
    }
    const timer = setInterval(() => {
      // Two more renewals come before the lease ends.
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
    await this.#giveBack(job, result.postponeMs)
  }

  async #fail (job: Job<Kind>, error: unknown): Promise<void> {
    const { db, maxAttempts = Infinity, retryDelayMs, giveUp, onError } = this.#options
    job.failures++
    onError(error, job)
    const delayMs = job.attempts > maxAttempts ? undefined : retryDelayMs(job, error)
    if (delayMs !== undefined) return await this.#giveBack(job, delayMs)
    await giveUp?.(job, error)
    await deleteJob(db, job.id)
  }

  /** The attempt does not count: it did not end its process. */
  async #giveBack ({ id, failures, attempts }: Job<Kind>, delayMs: number): Promise<void> {
    const { db, clock } = this.#options
    await updateJob(db, id, { runAfter: clock.now() + delayMs, failures, attempts: attempts - 1 })
  }
}
