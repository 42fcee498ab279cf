import { JobRunner, type JobResult, type JobRun, type JobRunnerOptions } from '../../jobs/job-runner.js'
import { describeJob, type Job } from '../../jobs/job.js'
import type { Library } from '../../media/library.js'
import { DAY, MINUTE, SECOND } from '../../time.js'
import { faultOf, MuxFault } from './mux-fault.js'
import type { MuxIngest } from './mux-ingest.js'
import type { MuxAssetState } from './mux-asset-state.js'

type Kind = 'mux-ingest' | 'mux-removal'

/** Several jobs run at once, so that a long upload does not delay the other jobs. */
const CONCURRENCY = 4
/** Backoff; the last delay repeats. */
const RETRY_AFTER_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE]
/** Webhooks may get lost, so Mux is polled, too. The interval is a tenth of the age of the job. */
const POLL_FACTOR = 0.1
const MIN_POLL_MS = 5 * SECOND
const MAX_POLL_MS = 5 * MINUTE
/** Longer than any outage of Mux. After that, the media fails, or an administrator must delete the asset. */
const GIVE_UP_AFTER_MS = { 'mux-ingest': DAY, 'mux-removal': 30 * DAY }

interface Options extends Pick<JobRunnerOptions<Kind>, 'db' | 'clock' | 'pollEveryMs'> {
  library: Library
  ingest: MuxIngest
  assetState: MuxAssetState
  onFault: (fault: MuxFault, about: object) => void
}

/** Creates the runner that uploads media to Mux, follows their state, and deletes assets that are no longer needed. */
export function createMuxRunner ({ library, ingest, assetState, onFault, ...options }: Options): JobRunner<Kind> {
  const { clock } = options
  const isExpired = ({ kind, createdAt }: Job<Kind>) => clock.now() - createdAt >= GIVE_UP_AFTER_MS[kind]

  async function work (job: Job<Kind>, run: JobRun): Promise<JobResult> {
    if (job.kind === 'mux-removal') {
      await ingest.remove(job.removal, run)
      return 'done'
    }
    const media = await library.findNow(job.mediaId)
    if (media?.status !== 'processing' || media.provider !== 'mux') return 'done'
    await ingest.advance(media, run)
    if ((await library.findNow(job.mediaId))?.status !== 'processing') return 'done'
    if (isExpired(job)) throw new MuxFault('Mux has not finished within a day.')
    return { postponeMs: pollDelayMs(clock.now() - job.createdAt) }
  }

  function retryDelayMs (job: Job<Kind>, error: unknown): number | undefined {
    const { code, retryAfterMs } = faultOf(error)
    if (isExpired(job) || (code !== undefined && job.kind === 'mux-ingest')) return undefined
    return Math.max(retryAfterMs, RETRY_AFTER_MS[job.failures - 1] ?? RETRY_AFTER_MS.at(-1)!)
  }

  /** Records the last error as the failure of the media. */
  async function giveUp (job: Job<Kind>, error: unknown): Promise<void> {
    const media = job.kind === 'mux-removal' ? undefined : await library.findNow(job.mediaId)
    if (media === undefined) return
    await assetState.apply({ failure: failureOf(error), uploadId: media.mux?.uploadId ?? null, mediaId: media.id })
  }

  return new JobRunner({
    ...options,
    kinds: ['mux-ingest', 'mux-removal'],
    concurrency: CONCURRENCY,
    work,
    retryDelayMs,
    giveUp,
    onError: (error, job) => onFault(faultOf(error), describeJob(job))
  })
}

function failureOf (error: unknown): { code: string; message: string } {
  const { code, message } = faultOf(error)
  if (code !== undefined) return { code, message }
  return { code: 'provider_unavailable', message: `The file could not be sent to Mux within a day. ${message}` }
}

function pollDelayMs (waitedMs: number): number {
  return Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, waitedMs * POLL_FACTOR))
}
