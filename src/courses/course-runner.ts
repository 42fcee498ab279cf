import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { deleteMedia, findDeletedMedia } from '../media/media-store.js'
import { claimJob, deleteJobById, updateAllJobs, updateJob, type Job, type JobKind } from '../jobs/job-store.js'
import type { BlobStore } from '../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../time.js'
import { deleteViewsOf } from '../views/view-maintenance.js'
import { deleteCourse } from './course-store.js'
import { deleteLecture, findDeletedLecture } from './lecture-store.js'
import { countSubscriptions, deleteSubscriptions, listSubscribers, lockSubscribers } from './subscription-store.js'
import { deleteProgress, listStarters, settleTallies } from './tally-store.js'

/** Media before their course: it goes when it has no lectures any more. */
const KINDS: JobKind[] = ['delete-media', 'delete-course', 'tally-course']
const LEASE_MS = 30 * SECOND
const RENEW_EVERY_MS = 10 * SECOND
const LOOK_EVERY_MS = SECOND
/** A few milliseconds of SQLite's event loop. */
const STUDENTS = 50
const MAX_RETRY_MS = 5 * MINUTE

interface RunnerOptions {
  db: Kysely<Database>
  blobs: BlobStore
  now: Clock
  onError: (error: unknown, job: Job | undefined) => void
}

/**
 * Removes what is marked as deleted and brings the tallies of courses up to date, in bounded batches. Each batch is a
 * transaction that leaves nothing half done, so a job that is cut off is repeated from its start by whoever claims it
 * next.
 */
export class CourseRunner {
  readonly #options: RunnerOptions
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #again = false

  constructor (options: RunnerOptions) {
    this.#options = options
  }

  async start (isOnlyInstance: boolean): Promise<void> {
    const { db, now, onError } = this.#options
    if (isOnlyInstance) {
      await updateAllJobs(db, KINDS, now(), Number.MAX_SAFE_INTEGER).catch((error: unknown) =>
        onError(error, undefined)
      )
    }
    if (this.#stopping.signal.aborted) return
    this.#timer = setInterval(() => this.wake(), LOOK_EVERY_MS)
    this.#timer.unref()
    this.wake()
  }

  /** Looks for jobs now. */
  wake (): void {
    if (this.#stopping.signal.aborted) return
    this.#again = true
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined
    })
  }

  /** Resolves after the running batch. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await this.#running
  }

  async #work (): Promise<void> {
    const { db, now, onError } = this.#options
    try {
      while (this.#again) {
        this.#again = false
        for (
          let job = await claimJob(db, KINDS, now(), LEASE_MS);
          job !== undefined;
          job = await claimJob(db, KINDS, now(), LEASE_MS)
        ) {
          await this.#run(job)
          if (this.#stopping.signal.aborted) return
        }
      }
    } catch (error) {
      onError(error, undefined)
    }
  }

  async #run (job: Job): Promise<void> {
    const { db, now, onError } = this.#options
    const renewal = setInterval(() => {
      updateJob(db, job, now() + LEASE_MS).catch(() => {})
    }, RENEW_EVERY_MS)
    try {
      if (job.kind === 'delete-media') await this.#deleteMedia(job.mediaId)
      else if (job.kind === 'tally-course') await this.#tallyCourse(job.courseId)
      else if (!(await this.#deleteCourse(job.courseId))) return await this.#putOff(job, SECOND)
      await deleteJobById(db, job.id)
    } catch (error) {
      if (this.#stopping.signal.aborted) return await this.#putOff(job, 0)
      onError(error, job)
      await this.#putOff({ ...job, failures: job.failures + 1 }, Math.min(MAX_RETRY_MS, SECOND * 2 ** job.failures))
    } finally {
      clearInterval(renewal)
    }
  }

  async #putOff (job: Job, milliseconds: number): Promise<void> {
    const { db, now } = this.#options
    await updateJob(db, job, now() + milliseconds)
  }

  async #deleteMedia (id: string): Promise<void> {
    const { db, blobs } = this.#options
    const media = await findDeletedMedia(db, id)
    if (media === undefined) return
    const lecture = await findDeletedLecture(db, id)
    await deleteViewsOf(db, id, this.#stopping.signal)
    if (lecture !== undefined) {
      await this.#inBatches(() =>
        db.transaction().execute(async (trx) => {
          const students = await listStarters(trx, lecture.id, STUDENTS)
          await lockSubscribers(trx, lecture.courseId, students)
          await deleteProgress(trx, lecture.id, students)
          await settleTallies(trx, lecture.courseId, students)
          return students.length
        })
      )
    }
    // A file that cannot be removed is the sweep's once its row is gone.
    for (const name of [media.blobName, media.packaged?.blobName, media.posterBlob]) {
      if (name != null) await blobs.remove(name).catch(() => {})
    }
    await db.transaction().execute(async (trx) => {
      if (lecture !== undefined) await deleteLecture(trx, lecture.id)
      await deleteMedia(trx, id)
    })
  }

  /** False while its lectures are being removed. */
  async #deleteCourse (id: string): Promise<boolean> {
    const { db } = this.#options
    await this.#inBatches(() =>
      db.transaction().execute(async (trx) => {
        const students = await deleteSubscriptions(trx, id, STUDENTS)
        if (students.length > 0) await countSubscriptions(trx, id, students, -1)
        return students.length
      })
    )
    return await deleteCourse(db, id)
  }

  async #tallyCourse (id: string): Promise<void> {
    const { db } = this.#options
    let last: string | undefined
    await this.#inBatches(async () => {
      const students = await listSubscribers(db, id, last, STUDENTS)
      last = students.at(-1)
      await db.transaction().execute(async (trx) => {
        await lockSubscribers(trx, id, students)
        await settleTallies(trx, id, students)
      })
      return students.length
    })
  }

  /** Repeats a batch until it finds less than {@link STUDENTS}. */
  async #inBatches (batch: () => Promise<number>): Promise<void> {
    while ((await batch()) === STUDENTS) {
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
      this.#stopping.signal.throwIfAborted()
    }
  }
}
