import { performance } from 'node:perf_hooks'

/**
 * A terminal sends Ctrl+C to the server and to the npm that started it, which hands it on: within this time that is one
 * signal.
 */
const SAME_SIGNAL_MS = 1000

/** Calls `first` at the first SIGINT or SIGTERM, and `again` at one that comes a second after it or later. */
export function onStopSignals (first: () => void, again: () => void): void {
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        first()
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) again()
    })
  }
}
