import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { JobRunner, type JobResult, type JobRun, type JobRunnerOptions } from '../jobs/job-runner.js'
import type { CourseJobKind, Job } from '../jobs/job.js'
import { madeBlobs } from '../media/played-file.js'
import { deleteMedia, findDeletedMedia } from '../media/media-store.js'
import { lockSharedFile } from '../media/shared-file-store.js'
import type { BlobStore } from '../storage/blob-store.js'
import { MINUTE, SECOND } from '../time.js'
import { deleteViewsOf } from '../views/view-maintenance.js'
import { deleteCourse } from './course-store.js'
import { deleteLecture, findDeletedLecture } from './lecture-store.js'
import { countSubscriptions, deleteSubscriptions, listSubscribers, lockSubscribers } from './subscription-store.js'
import { deleteProgress, listStarters, settleTallies } from './tally-store.js'

type Kind = CourseJobKind | 'delete-media'

/** On SQLite, a batch blocks the event loop for a few milliseconds. */
const STUDENTS_PER_BATCH = 50
const MAX_RETRY_MS = 5 * MINUTE

interface Options extends Pick<JobRunnerOptions<Kind>, 'db' | 'clock' | 'onError'> {
  blobs: BlobStore
}

/**
 * Creates the runner that removes deleted media and courses, and updates the tallies of courses. It works in bounded
 * batches. Each batch is one transaction, so an interrupted job can start again from its beginning.
 */
export function createCourseRunner ({ db, blobs, clock, onError }: Options): JobRunner<Kind> {
  async function work (job: Job<Kind>, { signal }: JobRun): Promise<JobResult> {
    switch (job.kind) {
      case 'delete-media':
        await removeMedia(db, blobs, job.mediaId, signal)
        return 'done'
      case 'tally-course':
        await settleCourse(db, job.courseId, signal)
        return 'done'
      case 'delete-course':
        return (await removeCourse(db, job.courseId, signal)) ? 'done' : { postponeMs: SECOND }
    }
  }
  return new JobRunner({
    db,
    clock,
    // Media come before their course, because a course is removed only after its last lecture.
    kinds: ['delete-media', 'delete-course', 'tally-course'],
    work,
    // A deletion is retried until it succeeds.
    retryDelayMs: ({ failures }) => Math.min(MAX_RETRY_MS, SECOND * 2 ** (failures - 1)),
    onError
  })
}

async function removeMedia (db: Kysely<Database>, blobs: BlobStore, id: string, signal: AbortSignal): Promise<void> {
  const media = await findDeletedMedia(db, id)
  if (media === undefined) return
  const lecture = await findDeletedLecture(db, id)
  await deleteViewsOf(db, id, signal)
  if (lecture !== undefined) {
    await inBatches(db, signal, async (trx) => {
      const students = await listStarters(trx, lecture.id, STUDENTS_PER_BATCH)
      await lockSubscribers(trx, lecture.courseId, students)
      await deleteProgress(trx, lecture.id, students)
      await settleTallies(trx, lecture.courseId, students)
      return students.length
    })
  }
  const deleteRows = async (trx: Transaction<Database>) => {
    if (lecture !== undefined) await deleteLecture(trx, lecture.id)
    await deleteMedia(trx, id)
  }
  // The row is deleted after its files, so that a retry still finds their names. The sweep does not remove committed
  // files.
  for (const name of madeBlobs(media)) await blobs.remove(name)
  const isShared = await db.transaction().execute(async (trx) => {
    const isShared = await lockSharedFile(trx, media)
    // The last media of a file must not see this row, so it is deleted under the same lock.
    if (isShared) await deleteRows(trx)
    return isShared
  })
  if (isShared) return
  if (media.blobName !== null) await blobs.remove(media.blobName)
  await db.transaction().execute(deleteRows)
}

/** Removes a course and its subscriptions. Returns false while the course still has lectures. */
async function removeCourse (db: Kysely<Database>, id: string, signal: AbortSignal): Promise<boolean> {
  await inBatches(db, signal, async (trx) => {
    const students = await deleteSubscriptions(trx, id, STUDENTS_PER_BATCH)
    if (students.length > 0) await countSubscriptions(trx, id, students, -1)
    return students.length
  })
  return await deleteCourse(db, id)
}

async function settleCourse (db: Kysely<Database>, id: string, signal: AbortSignal): Promise<void> {
  let last: string | undefined
  await inBatches(db, signal, async (trx) => {
    const students = await listSubscribers(trx, id, last, STUDENTS_PER_BATCH)
    last = students.at(-1)
    await lockSubscribers(trx, id, students)
    await settleTallies(trx, id, students)
    return students.length
  })
}

/** Runs batches, each in a transaction, until a batch has fewer than {@link STUDENTS_PER_BATCH} students. */
async function inBatches (
  db: Kysely<Database>,
  signal: AbortSignal,
  batch: (trx: Transaction<Database>) => Promise<number>
): Promise<void> {
  while ((await db.transaction().execute(batch)) === STUDENTS_PER_BATCH) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    signal.throwIfAborted()
  }
}
