import { JobRunner, type JobResult, type JobRun, type JobRunnerOptions } from '../jobs/job-runner.js'
import { hasDueJob, hasMediaJob } from '../jobs/job-store.js'
import type { Job } from '../jobs/job.js'
import type { Library } from '../media/library.js'
import { updateRendition, updateRenditionReady } from '../media/media-rendition-store.js'
import type { Media } from '../media/schema.js'
import type { BlobStore } from '../storage/blob-store.js'
import { MINUTE, SECOND } from '../time.js'
import { RenditionFault } from './rendition-fault.js'
import type { Transcoder } from './transcoder.js'

/** Backoff for failures that are not a fault of the file, such as a full disk or a lost database. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE]
/** If the process restarted this often during one file, the job waits for its lease after a restart. */
const MAX_EAGER_ATTEMPTS = 3
/** If the process restarted more often than this during one file, the file is at fault. */
const MAX_ATTEMPTS = 25
/** Packages and posters come first. */
const WAIT_FOR_PACKAGES_MS = 2 * SECOND

interface Options extends Pick<JobRunnerOptions<'rendition'>, 'db' | 'clock' | 'onError' | 'pollEveryMs'> {
  blobs: BlobStore
  library: Library
  transcoder: Transcoder
  /** Undefined: ffmpeg is not installed. */
  ffmpeg: { version(): Promise<string | undefined> } | undefined
}

/** Creates the runner that makes renditions, one at a time. */
export function createRenditionRunner (options: Options): JobRunner<'rendition'> {
  const { db, clock, library, onError, pollEveryMs } = options

  async function work ({ mediaId }: Job<'rendition'>, { signal }: JobRun): Promise<JobResult> {
    const media = await library.findNow(mediaId)
    if (media === undefined || !isPending(media)) return 'done'
    if ((await hasMediaJob(db, mediaId)) || (await hasDueJob(db, 'package', clock.now()))) {
      return { postponeMs: WAIT_FOR_PACKAGES_MS }
    }
    if ((await options.ffmpeg?.version()) === undefined) throw new RenditionFault('ffmpeg_missing')
    try {
      await makeRendition(options, media, signal)
    } catch (error) {
      // The error of an interrupted ffmpeg looks like a fault of the file.
      signal.throwIfAborted()
      throw error
    } finally {
      library.invalidate(mediaId)
    }
    return 'done'
  }

  return new JobRunner({
    db,
    clock,
    kinds: ['rendition'],
    maxEagerAttempts: MAX_EAGER_ATTEMPTS,
    maxAttempts: MAX_ATTEMPTS,
    pollEveryMs,
    work,
    retryDelayMs: ({ failures }, error) => (error instanceof RenditionFault ? undefined : RETRY_AFTER_MS[failures - 1]),
    async giveUp ({ mediaId }, error) {
      const { code, reason } = error instanceof RenditionFault ? error : new RenditionFault('transcode_failed')
      await updateRendition(db, mediaId, { error: { code, message: reason } })
      library.invalidate(mediaId)
    },
    onError
  })
}

function isPending ({ rendition, protection }: Media): boolean {
  return protection === 'none' && (rendition?.status === 'waiting' || rendition?.status === 'processing')
}

/**
 * Writes a rendition to a draft, publishes the draft, and makes it the stream of its media in one transaction. The
 * media may have been deleted or protected meanwhile; then the file is removed.
 */
async function makeRendition (options: Options, media: Media, signal: AbortSignal): Promise<void> {
  const { db, blobs, library, transcoder, clock } = options
  await updateRendition(db, media.id, { progress: 0 })
  library.invalidate(media.id)
  const draft = blobs.reserve()
  try {
    const made = await transcoder.make({
      path: blobs.pathOf(media.blobName!),
      target: draft.path,
      type: media.type,
      sizeBytes: media.sizeBytes!,
      durationMs: media.durationMs,
      signal,
      onProgress: onIncrease((progress) => updateRendition(db, media.id, { progress }))
    })
    signal.throwIfAborted()
    const blobName = await draft.publish()
    const file = { ...made, blobName, madeAt: clock.now() }
    const isKept = await db.transaction().execute((trx) => updateRenditionReady(trx, media, file))
    await (isKept ? blobs.markCommitted(blobName) : blobs.remove(blobName))
  } finally {
    await draft.discard()
  }
}

/** Calls `save` for each percentage above the last one, and ignores a failed save. */
function onIncrease (save: (percent: number) => Promise<unknown>): (percent: number) => void {
  let last = 0
  return (percent) => {
    if (percent <= last) return
    last = percent
    save(percent).catch(() => {})
  }
}
