import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { ApiError } from '../errors.js'
import type { MediaFormat } from './media-formats.js'

/** What a file is, by its content. */
export interface Probed extends MediaFormat {
  durationMs: number | null
  width: number | null
  height: number | null
}

/** A probe of a sane file takes tens of milliseconds; a hostile one may try to keep the parser busy for ever. */
const PROBE_LIMIT_MS = 20_000
const MAX_WAITING_PROBES = 100

/** Looks into files in worker threads, off the event loop. */
export interface Prober {
  /** Null if the file is none of the formats we take, or the parser could not end in time. Throws `overloaded` when the queue is full. */
  probe (path: string): Promise<Probed | null>
  pending (): number
  close (): Promise<void>
}

export function createProber (limitMs = PROBE_LIMIT_MS): Prober {
  const threads = Math.max(1, availableParallelism() - 1)
  const pool = new Piscina({
    filename: new URL('./probe-worker.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: threads,
    // First come, first served: see passwords.ts.
    stricterFIFO: true,
    idleTimeout: 60_000,
    resourceLimits: { maxOldGenerationSizeMb: 256 }
  })
  // Waits for a thread before the time limit starts: what stands in the queue is not hostile for that.
  const waiting: Array<() => void> = []
  let running = 0

  return {
    async probe (path) {
      if (waiting.length >= MAX_WAITING_PROBES) throw new ApiError('overloaded', { headers: { 'retry-after': '5' } })
      if (running >= threads) await new Promise<void>((resolve) => waiting.push(resolve))
      else running++
      try {
        return await pool.run(path, { signal: AbortSignal.timeout(limitMs) }) as Probed | null
      } catch (error) {
        // What the system refuses is not the file's fault; out of time, out of memory, or a parser that threw, is.
        if (/^E[A-Z]+$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
        return null
      } finally {
        const next = waiting.shift()
        if (next === undefined) running--
        else next()
      }
    },
    pending: () => running + waiting.length,
    close: () => pool.close({ force: true })
  }
}
