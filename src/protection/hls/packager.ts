import { Worker } from 'node:worker_threads'
import { FileFault, type FileFaultKind } from './file-fault.js'
import type { StreamDescription } from './stream-description.js'
import type { TranscodePlan } from './transcode-plan.js'

/** The input of the packager. Segments are written to the file `target`, one after another. */
export interface PackageOrder {
  path: string
  target: string
  maxBytes: number
  maxSegments: number
  contentKey: Uint8Array
  durationMs: number | null
  /** Pictures of a sound file are covers or chapters. Undefined: whatever the file holds. */
  type?: 'video' | 'audio'
  /** The file is known to have sound. */
  hasSound?: boolean
  /** The displayed size that a transcoded file must have. */
  size?: TranscodePlan['size'] | undefined
}
export type PackageMessage = { percent: number } | { made: PackageFacts } | Failure

interface Failure {
  failed: string
  fault: FileFaultKind | 'system'
  plan: TranscodePlan | undefined
}

/**
 * The size and the duration of a segment, as stored. `dependent`: it cannot be decoded without the segment before it.
 */
export type SegmentFacts = [bytes: number, milliseconds: number, dependent?: 'dependent']

/** The segments of a package, and the description of its stream. */
export interface PackageFacts {
  segments: SegmentFacts[]
  description: StreamDescription
  /** The time in the stream at which the media is at 0, in 1/90,000 s. */
  zeroTicks: number
}

/** A thread without progress for this time is stuck, on a hostile file or on a disk that does not respond. */
const STUCK_AFTER_MS = 60_000
/** A film of two hours needs two minutes. A hostile file may show progress for much longer. */
const LIMIT_MS = 6 * 60 * 60_000
/**
 * Limits of the JavaScript heap. Buffers of files are outside the heap, and are freed only by a collection of young
 * objects. A small space for young objects makes these collections frequent.
 */
const MEMORY = { maxOldGenerationSizeMb: 200, maxYoungGenerationSizeMb: 2 }

/**
 * Packages H.264 and AAC or MP3 into MPEG-TS segments of about six seconds, encrypted with AES-128. A worker thread
 * does this frame by frame, so memory does not grow with the file or its segments. Returns the facts of the segments,
 * which are empty for a file without tracks. **Throws** a {@link FileFault} for a fault of the file. An aborted
 * `signal` ends it.
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
          const { fault, failed, plan } = message
          reject(fault === 'system' ? new Error(failed) : new FileFault(fault, failed, plan))
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
