import { JobRunner, type JobResult, type JobRun, type JobRunnerOptions } from '../../jobs/job-runner.js'
import type { Job } from '../../jobs/job.js'
import type { Library } from '../../media/library.js'
import { updatePackaging } from '../../media/media-protection-store.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { BlobStore } from '../../storage/blob-store.js'
import { MINUTE, SECOND } from '../../time.js'
import type { Ffmpeg } from './ffmpeg.js'
import { Packaging } from './package-media.js'
import { createPosters } from './posters.js'
import { Unpackageable } from './unpackageable.js'

/** Backoff for failures that are not a fault of the file, such as a full disk or a lost database. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE]
/** If a file ended its process this often, for example by its memory, its job waits for its lease after a restart. */
const MAX_EAGER_ATTEMPTS = 3
/** If the process restarted more often than this during one file, the file is at fault. */
const MAX_ATTEMPTS = 25

interface Options extends Pick<JobRunnerOptions<'package'>, 'db' | 'clock' | 'onError'> {
  blobs: BlobStore
  library: Library
  keys: Keyring
  /** Undefined: ffmpeg is not installed. */
  ffmpeg: Ffmpeg | undefined
  /** Logs a video without a usable picture. The video plays without a poster. */
  onNoPicture: (reason: string, mediaId: string) => void
}

/** Creates the runner that packages queued media and takes their posters, one job at a time. */
export function createPackageRunner ({ db, clock, onError, library, ...options }: Options): JobRunner<'package'> {
  const packaging = new Packaging({ db, ...options })
  const posters = createPosters({ db, ...options })

  /** Does only the missing steps, so that a repeated job repeats no finished step. */
  async function work ({ mediaId }: Job<'package'>, { signal }: JobRun): Promise<JobResult> {
    const media = await library.findNow(mediaId)
    if (media === undefined) return 'done'
    try {
      if (media.status === 'processing' && media.provider === 'local') {
        await packaging.package(media, signal)
        // Viewers need not wait for the poster.
        library.invalidate(mediaId)
      }
      if (media.type === 'video' && media.posterBlob === null) await posters.take(media, signal)
      // The error of an interrupted ffmpeg looks like a fault of the file.
      signal.throwIfAborted()
    } finally {
      library.invalidate(mediaId)
    }
    return 'done'
  }

  return new JobRunner({
    db,
    clock,
    kinds: ['package'],
    maxEagerAttempts: MAX_EAGER_ATTEMPTS,
    maxAttempts: MAX_ATTEMPTS,
    work,
    retryDelayMs: ({ failures }, error) => (error instanceof Unpackageable ? undefined : RETRY_AFTER_MS[failures - 1]),
    async giveUp ({ mediaId }, error) {
      const { code, message } = error instanceof Unpackageable ? error : new Unpackageable('packaging_failed')
      await updatePackaging(db, mediaId, { error: { code, message } })
      library.invalidate(mediaId)
    },
    onError
  })
}
