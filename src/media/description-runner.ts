import type { Kysely, Transaction } from 'kysely'
import { NIL } from 'uuid'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { insertDescriptionJob } from '../jobs/job-store.js'
import { JobRunner, type JobResult, type JobRun, type JobRunnerOptions } from '../jobs/job-runner.js'
import type { ProblemCode } from '../schemas/problem-codes.js'
import type { BlobStore } from '../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../time.js'
import { listUndescribed, updateDescription, updateUndescribable, type UndescribedFile } from './description-store.js'
import type { Library } from './library.js'
import type { LockSums } from './lock-sums.js'
import type { Probed } from './media-formats.js'
import { lockMedia } from './media-store.js'
import type { Prober } from './probe/probe.js'
import type { Media } from './schema.js'

const BATCH = 100
const MAX_RETRY_MS = 5 * MINUTE
/** The file itself is the reason: another attempt finds the same. */
const FILE_FAULTS: ProblemCode[] = [
  'media_encrypted',
  'media_truncated',
  'media_too_complex',
  'unsupported_media_format'
]

type Kind = 'describe-files'

interface Options extends Pick<JobRunnerOptions<Kind>, 'db' | 'clock' | 'onError'> {
  blobs: BlobStore
  prober: Prober
  library: Library
  /** Queues the rendition of a file that common browsers do not play, in the same transaction. */
  renditions: { requeue(trx: Transaction<Database>, media: Media): Promise<void> }
  lockSums: LockSums
  /** Logs how many files could not be read, and the last error. They are tried again later. */
  onUnread(files: number, error: unknown): void
}

/** Queues the job if there are files without a description. An older version in a rolling update stores such files. */
export async function queueDescriptions (db: Kysely<Database>, clock: Clock): Promise<void> {
  const [first] = await listUndescribed(db, NIL, 1)
  if (first !== undefined) await insertDescriptionJob(db, clock.now())
}

/**
 * Creates the runner that describes files which an older version stored. It corrects the tracks, codecs, size and
 * duration of their media, and nothing else. A described file is never read again, so an interrupted job continues.
 */
export function createDescriptionRunner (options: Options): JobRunner<Kind> {
  const { db, clock, onError, onUnread } = options

  async function work (_: unknown, { signal, onProgress }: JobRun): Promise<JobResult> {
    let [unread, lastError]: [number, unknown] = [0, undefined]
    for (let after: string = NIL, files = [] as UndescribedFile[]; ; after = files.at(-1)!.mediaId) {
      files = await listUndescribed(db, after, BATCH)
      for (const file of files) {
        signal.throwIfAborted()
        const found = await probe(options, file)
        if (found instanceof Error) [unread, lastError] = [unread + 1, found]
        else await record(options, file, found)
        onProgress()
      }
      if (files.length < BATCH) break
    }
    if (unread > 0) onUnread(unread, lastError)
    return 'done'
  }

  return new JobRunner({
    db,
    clock,
    kinds: ['describe-files'],
    work,
    retryDelayMs: ({ failures }) => Math.min(MAX_RETRY_MS, SECOND * 2 ** (failures - 1)),
    onError
  })
}

/** Returns null for a file that cannot be described, and an error if it could not be read. */
async function probe ({ blobs, prober }: Options, { blobName }: UndescribedFile): Promise<Probed | null | Error> {
  try {
    // An account of its own, so that these files take turns with the uploads of each account.
    return await prober.probe(blobs.pathOf(blobName), 'describe-files')
  } catch (error) {
    if (error instanceof ApiError && FILE_FAULTS.includes(error.code)) return null
    if (!(error instanceof Error) || (error instanceof ApiError && error.code === 'shutting_down')) throw error
    return error
  }
}

async function record (
  { db, library, renditions, lockSums }: Options,
  { mediaId, blobName }: UndescribedFile,
  found: Probed | null
): Promise<void> {
  if (found === null) return await updateUndescribable(db, mediaId)
  await db.transaction().execute(async (trx) => {
    // The deletion of a lecture takes these locks in the same order, which prevents a deadlock.
    const addToSums = await lockSums(trx, mediaId)
    const media = await lockMedia(trx, mediaId)
    if (media === undefined || media.blobName !== blobName || media.tracks !== null) return
    if (found.durationMs !== null) await addToSums(found.durationMs - (media.durationMs ?? 0))
    await updateDescription(trx, mediaId, found)
    await renditions.requeue(trx, { ...media, playableEverywhere: found.playableEverywhere })
  })
  library.invalidate(mediaId)
}
