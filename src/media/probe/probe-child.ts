import { Worker } from 'node:worker_threads'
import type { ProbeOutcome, ProbeTask } from './probe-process.js'

/**
 * The main thread of a probe process. A worker thread describes the file. This thread watches the CPU and the resident
 * memory of the whole process, and kills the process when it exceeds a limit.
 */
const WATCH_EVERY_MS = 10
/** Maximum JavaScript heap of the worker. The parser uses WebAssembly memory, which a flag of the process limits. */
const MAX_HEAP_MB = 64

const worker = new Worker(new URL('./probe-worker.js', import.meta.url), {
  resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, maxYoungGenerationSizeMb: 16 }
})
let watch: NodeJS.Timeout | undefined

function finish (outcome: ProbeOutcome): void {
  clearInterval(watch)
  process.send!(outcome)
}

/** Ends this process. The next file gets a new process. */
function end (): void {
  process.exit(1)
}

/**
 * Reports the exceeded limit, and kills the process. The worker cannot be reused, because it may be in an endless call.
 */
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
// A terminal and systemd send their signals to the whole process group. They are ignored, because the server stops this
// process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
// The server has ended, possibly while this process started.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
if (!process.connected) process.kill(process.pid, 'SIGKILL')
