import { fileURLToPath } from 'node:url'
import { MiB } from '../../bytes.js'
import { ApiError } from '../../errors.js'
import { FairQueue } from '../../jobs/fair-queue.js'
import type { Probed } from '../media-formats.js'
import { ProbeProcess, type ProbeLimits } from './probe-process.js'

export interface ProberOptions extends ProbeLimits {
  maxWaiting: number
  /** How long an upload waits for its turn. */
  maxWaitMs: number
}

/**
 * 1.5 s of CPU: a usual file takes 25 ms, the index of a film of ten hours 150 ms, and all other files wait meanwhile.
 * 224 MiB of memory: Node takes 64, the parser at most 128. 45 s of waiting: proxies give up after 60.
 */
const DEFAULTS: ProberOptions = {
  cpuMs: 1500,
  maxRssBytes: 224 * MiB,
  wallMs: 30_000,
  maxWaiting: 100,
  maxWaitMs: 45_000
}

/** Describes files in a process of their own, one at a time: all of it together grows by less than 300 MB. */
export interface Prober {
  /**
   * Describes a file in the turn of its account. Returns null for a format that is not accepted. **Throws**
   * `media_too_complex` for a file that takes too much CPU or memory, `overloaded` when the queue is full or the wait
   * too long, `shutting_down`.
   */
  probe(path: string, accountId: string): Promise<Probed | null>
  /** Files waiting or being described. */
  pending(): number
  /** The process that describes files, while there is one. */
  pid(): number | undefined
  /** Starts the process and loads the parser. */
  warmUp(): Promise<unknown>
  /** Ends every probe within a time: later ones throw `shutting_down`. */
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
    // This file is no media, but only the parser can tell.
    warmUp: () => queue.run('warm-up', () => process.describe(fileURLToPath(import.meta.url))),
    endWithin: (milliseconds) => {
      ending = setTimeout(close, milliseconds)
    },
    close
  }
}
