import cluster, { type Worker } from 'node:cluster'
import { relayMetrics } from './cluster-metrics.js'
import { sendToWorker } from './messages.js'
import { onStopSignals } from './signals.js'

/** Delay before a restart. Without a delay, the next process would probably fail for the same reason. */
const RESTART_AFTER_MS = 1000
const GRACE_BEYOND_MS = 10_000

/**
 * Keeps `count` server processes running behind one port (node:cluster). A process that ends is started again. If a
 * process ends before any process has listened, all processes stop. The first SIGINT or SIGTERM drains the processes,
 * and a second signal ends them at once.
 */
export function superviseProcesses (count: number, graceSeconds: number, say: (line: string) => void): void {
  let stopping = false
  /**
   * True after the first process has listened. A later failed start is retried, because the cause may be an unavailable
   * database.
   */
  let everListened = false
  const listening = new Set<number>()
  for (let i = 0; i < count; i++) startProcess(say, onRefused)

  relayMetrics()
  // A starting process misses `stop`. After its first message, it can receive `stop`.
  cluster.on('message', (worker) => {
    if (stopping) sendToWorker(worker, 'stop')
  })
  cluster.on('listening', (worker) => {
    everListened = true
    listening.add(worker.id)
  })
  cluster.on('exit', (worker, code, signal) => {
    if (stopping) {
      if (running().length === 0) process.exit()
    } else if (listening.delete(worker.id) || everListened) {
      say(`A process ended (${signal ?? code}); starting another.`)
      startLater()
    } else {
      say('A process could not start: stopping.')
      stop(1)
    }
  })
  onStopSignals(
    () => stop(0),
    () => stop(0)
  )

  function onRefused (): void {
    if (stopping) {
      if (running().length === 0) process.exit()
    } else if (everListened) startLater()
    else stop(1)
  }

  function startLater (): void {
    setTimeout(() => {
      if (!stopping) startProcess(say, onRefused)
    }, RESTART_AFTER_MS)
  }

  function stop (code: number): void {
    process.exitCode = code
    if (stopping) {
      killAll()
      process.exit(1)
    }
    stopping = true
    for (const worker of running()) sendToWorker(worker, 'stop')
    if (running().length === 0) process.exit()
    setTimeout(killAll, graceSeconds * 1000 + GRACE_BEYOND_MS).unref()
  }
}

/** `onRefused` is called if the system has no file descriptor, memory or process left, which may be temporary. */
function startProcess (say: (line: string) => void, onRefused: () => void): void {
  const refused = ({ message }: Error) => {
    say(`A process could not start: ${message}`)
    onRefused()
  }
  try {
    const worker = cluster.fork()
    worker.on('error', (error) => {
      // Node's internal messages to a killed worker (such as a new connection) also fail. The `exit` event reports that
      // worker.
      if (worker.process.pid !== undefined) return say(`A process could not be reached: ${error.message}`)
      // The process never ran, so no `exit` event follows.
      delete cluster.workers![worker.id]
      refused(error)
    })
  } catch (error) {
    refused(error as Error)
  }
}

function killAll (): void {
  for (const worker of running()) worker.process.kill('SIGKILL')
}

function running (): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
}
