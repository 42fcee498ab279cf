import { fileURLToPath } from 'node:url'
import { MiB } from '../../bytes.js'
import { ApiError } from '../../errors.js'
import { FairQueue } from '../../jobs/fair-queue.js'
import type { Probed } from '../media-formats.js'
import { ProbeProcess, type ProbeLimits } from './probe-process.js'

export interface ProberOptions extends ProbeLimits {
  maxWaiting: number
  /** Maximum time that an upload waits for its turn. */
  maxWaitMs: number
}

/**
 * CPU: a usual file takes 25 ms, and the index of a film of ten hours takes 150 ms. All other files wait meanwhile.
 * Memory: Node needs 64 MiB, and the parser needs at most 128 MiB. Waiting time: proxies time out after 60 s.
 */
const DEFAULTS: ProberOptions = {
  cpuMs: 1500,
  maxRssBytes: 224 * MiB,
  wallMs: 30_000,
  maxWaiting: 100,
  maxWaitMs: 45_000
}

/** Describes files in a separate process, one at a time. In total, this needs less than 300 MB of additional memory. */
export interface Prober {
  /**
   * Describes a file when it is its account's turn. Returns null for a format that is not accepted. **Throws**
   * `media_too_complex` for a file that needs too much CPU or memory. **Throws** `overloaded` if the queue is full or
   * the wait is too long. **Throws** `shutting_down` after `close`.
   */
  probe(path: string, accountId: string): Promise<Probed | null>
  /** Number of files that wait or are being described. */
  pending(): number
  /** The id of the process that describes files, or undefined if no process runs. */
  pid(): number | undefined
  /** Starts the process and loads the parser. */
  warmUp(): Promise<unknown>
  /** Ends all probes after a time. Later probes throw `shutting_down`. */
  endWithin(milliseconds: number): void
  close(): void
}

export function createProber (options: Partial<ProberOptions> = {}): Prober {
  const { maxWaiting, maxWaitMs, ...limits } = { ...DEFAULTS, ...options }
  const queue = new FairQueue({ slots: 1, maxWaiting })
  const process = new ProbeProcess(limits)
  let ending: NodeJS.Timeout | undefined

  function close (): void {
    clearTimeout(ending)
    const reason = new ApiError('shutting_down', { headers: { 'retry-after': '5' } })
    queue.close(reason)
    process.close(reason)
  }

  return {
    async probe (path, accountId) {
      const waited = new AbortController()
      const tooLate = new ApiError('overloaded', { headers: { 'retry-after': '30' } })
      const late = setTimeout(() => waited.abort(tooLate), maxWaitMs)
      try {
        return await queue.run(
          accountId,
          async () => {
            clearTimeout(late)
            return await process.describe(path)
          },
          waited.signal
        )
      } finally {
        clearTimeout(late)
      }
    },
    pending: () => queue.pending,
    pid: () => process.pid,
    // The path names this source file. Only the parser can decide that it is not a media.
    warmUp: () => queue.run('warm-up', () => process.describe(fileURLToPath(import.meta.url))),
    endWithin: (milliseconds) => {
      ending = setTimeout(close, milliseconds)
    },
    close
  }
}
