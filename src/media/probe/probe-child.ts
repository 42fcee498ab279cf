import { Worker } from 'node:worker_threads'
import type { ProbeOutcome, ProbeTask } from './probe-process.js'

/**
 * The main thread of a probe process. A worker thread describes the file. This thread watches the CPU and the resident
 * memory of the whole process, and kills the process when one of them passes its limit.
 */
const WATCH_EVERY_MS = 10
/** Memory of JavaScript in the worker. The parser's own memory is WebAssembly, bounded by a flag of the process. */
const MAX_HEAP_MB = 64

const worker = new Worker(new URL('./probe-worker.js', import.meta.url), {
  resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, maxYoungGenerationSizeMb: 16 }
})
let watch: NodeJS.Timeout | undefined

function finish (outcome: ProbeOutcome): void {
  clearInterval(watch)
  process.send!(outcome)
}

/** The next file gets another process. */
function end (): void {
  process.exit(1)
}

/** After this the worker is of no more use: it may be inside a call that nothing can interrupt. */
function giveUp (limit: 'cpu' | 'memory'): void {
  clearInterval(watch)
  worker.off('exit', end)
  process.send!({ tooComplex: limit } satisfies ProbeOutcome, () => process.kill(process.pid, 'SIGKILL'))
}

process.on('message', ({ path, cpuMs, maxRssBytes }: ProbeTask) => {
  const before = process.cpuUsage()
  watch = setInterval(() => {
    const { user, system } = process.cpuUsage(before)
    if (process.memoryUsage.rss() > maxRssBytes) giveUp('memory')
    else if ((user + system) / 1000 > cpuMs) giveUp('cpu')
  }, WATCH_EVERY_MS)
  worker.postMessage(path)
})
worker.on('message', finish)
// The heap of the worker is full (ERR_WORKER_OUT_OF_MEMORY), or its code failed to load.
worker.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') giveUp('memory')
  else end()
})
worker.on('exit', end)
// A terminal and systemd send their signals to the whole group: the server stops this process when it is done.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
// The server has ended, perhaps while this process started.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
if (!process.connected) process.kill(process.pid, 'SIGKILL')
