import { Worker } from 'node:worker_threads'
import { FileFault, type FileFaultKind } from './file-fault.js'
import type { StreamDescription } from './stream-description.js'

/** What is to be packaged, and where to: the segments are written to `target`, one after the other. */
export interface PackageOrder {
  path: string
  target: string
  maxBytes: number
  maxSegments: number
  contentKey: Uint8Array
  durationMs: number | null
}
export type PackageMessage =
  { percent: number } | { made: PackageFacts } | { failed: string; fault: FileFaultKind | 'system' }

/**
 * Bytes and milliseconds of a segment, and whether it can't be decoded without the one before; in their order, as
 * stored.
 */
export type SegmentFacts = [bytes: number, milliseconds: number, dependent?: 'dependent']

/** What a package is: its segments, and what they hold. */
export interface PackageFacts {
  segments: SegmentFacts[]
  description: StreamDescription
}

/** A thread that gets no further for so long is stuck: on a hostile file, or on a disk that does not answer. */
const STUCK_AFTER_MS = 60_000
/** A film of two hours takes two minutes; a hostile file may get further, but hardly. */
const LIMIT_MS = 6 * 60 * 60_000
/**
 * Of JavaScript's heap. What is read and written lies beside it: it goes when young objects are cleared away, which a
 * small space for them makes frequent.
 */
const MEMORY = { maxOldGenerationSizeMb: 200, maxYoungGenerationSizeMb: 2 }

/**
 * Packages H.264 and AAC or MP3 into MPEG-TS segments of about six seconds, each AES-128 encrypted as it is made, in a
 * worker thread, frame by frame: memory grows neither with the file nor with its segments. Answers what the segments
 * are; none for a file without tracks. Throws a {@link FileFault} for what is the file's fault. `signal` ends it.
 */
export async function packageFile (
  order: PackageOrder,
  signal: AbortSignal,
  onProgress: (percent: number) => void
): Promise<PackageFacts> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./package-worker.js', import.meta.url), {
    workerData: order,
    resourceLimits: MEMORY
  })
  let stuck: NodeJS.Timeout | undefined
  let late: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  try {
    return await new Promise<PackageFacts>((resolve, reject) => {
      stuck = setTimeout(() => reject(new Error('the packager got stuck')), STUCK_AFTER_MS)
      late = setTimeout(() => reject(new FileFault('damaged', 'the packager came to no end')), LIMIT_MS)
      onAbort = () => reject(new Error('packaging was cancelled'))
      signal.addEventListener('abort', onAbort)
      worker.on('message', (message: PackageMessage) => {
        stuck?.refresh()
        if ('percent' in message) onProgress(message.percent)
        else if ('made' in message) resolve(message.made)
        else {
          reject(message.fault === 'system' ? new Error(message.failed) : new FileFault(message.fault, message.failed))
        }
      })
      worker.on('error', reject)
      worker.on('exit', () => reject(new Error('the packager ended')))
    })
  } finally {
    clearTimeout(stuck)
    clearTimeout(late)
    signal.removeEventListener('abort', onAbort!)
    await worker.terminate()
  }
}
