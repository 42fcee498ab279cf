import { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { FileFault } from './file-fault.js'

export interface PackageOrder { path: string, contentKey: Uint8Array, durationMs: number | null }
export type PackageMessage = { segment: Uint8Array<ArrayBuffer> } | { percent: number } | { milliseconds: number[] } | { failed: string, system: boolean }

/** Bytes and milliseconds of a segment, in their order; as stored. */
export type SegmentFacts = [bytes: number, milliseconds: number]

/** A file that is being packaged: the encrypted segments as one stream, and after its end their lengths. */
export interface Packaging {
  bytes: Readable
  /** Rejects if the file could not be packaged, with a {@link FileFault} if that is the file's fault; then `bytes` failed too. */
  segments: Promise<SegmentFacts[]>
}

/** A thread that gets no further for so long is stuck on a hostile file. */
const STUCK_AFTER_MS = 60_000
const MAX_HEAP_MB = 200

/**
 * Packages H.264 and AAC or MP3 into MPEG-TS segments of about six seconds, each AES-128 encrypted as it is made, in a worker thread. The thread
 * makes the next segment when the last was taken: memory does not grow with the file. Destroying `bytes` ends it.
 */
export function packageFile (order: PackageOrder, onProgress: (percent: number) => void): Packaging {
  const worker = new Worker(new URL('./package-worker.js', import.meta.url), { workerData: order, resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } })
  const sizes: number[] = []
  let stuck = setTimeout(end, STUCK_AFTER_MS, new FileFault('the packager got stuck'))
  let finish: (segments: SegmentFacts[]) => void
  let fail: (error: Error) => void
  const segments = new Promise<SegmentFacts[]>((resolve, reject) => { finish = resolve; fail = reject })
  // Whoever reads the bytes meets the error first.
  segments.catch(() => {})
  const bytes = new Readable({
    highWaterMark: 0,
    read () { worker.postMessage('taken') },
    destroy (error, callback) { clearTimeout(stuck); fail(error ?? new Error('cancelled')); worker.terminate().then(() => callback(error), callback) }
  })

  worker.on('message', (message: PackageMessage) => {
    stuck.refresh()
    if ('segment' in message) {
      sizes.push(message.segment.length)
      bytes.push(Buffer.from(message.segment.buffer))
    } else if ('percent' in message) onProgress(message.percent)
    else if ('failed' in message) end(message.system ? new Error(message.failed) : new FileFault(message.failed))
    else {
      finish(sizes.map((size, index) => [size, message.milliseconds[index] ?? 0]))
      bytes.push(null)
    }
  })
  worker.on('error', end)
  worker.on('exit', () => end(new Error('the packager ended')))
  stuck = stuck.refresh()
  return { bytes, segments }

  function end (error: Error): void { if (!bytes.readableEnded) bytes.destroy(error) }
}
