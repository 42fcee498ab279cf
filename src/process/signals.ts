import { performance } from 'node:perf_hooks'

/**
 * A terminal sends Ctrl+C to the server and to npm, which forwards it to the server. Two signals within this time count
 * as one.
 */
const SAME_SIGNAL_MS = 1000

/** Calls `first` at the first SIGINT or SIGTERM, and `again` at each signal more than a second later. */
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
