import cluster, { type Worker } from 'node:cluster'
import { relayFigures } from './cluster-metrics.js'
import { tell } from './messages.js'
import { onStopSignals } from './signals.js'

/** A process that ends sooner than this after its start will not start better at once. */
const RESTART_AFTER_MS = 1000
const GRACE_BEYOND_MS = 10_000

/**
 * Keeps a number of server processes running behind one port (node:cluster). One that ends is started again; if one
 * can't even start, all stop. The first SIGINT or SIGTERM lets them drain, a second ends them at once.
 */
export function superviseProcesses (count: number, graceSeconds: number, say: (line: string) => void): void {
  let stopping = false
  /** Once one could start, another that can't may have met a database that is away: it is tried again. */
  let everListened = false
  const listening = new Set<number>()
  for (let i = 0; i < count; i++) startProcess(say, onRefused)

  relayFigures()
  // A starting process does not hear a stop until it says so.
  cluster.on('message', (worker) => {
    if (stopping) tell(worker, 'stop')
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
    for (const worker of running()) tell(worker, 'stop')
    if (running().length === 0) process.exit()
    setTimeout(killAll, graceSeconds * 1000 + GRACE_BEYOND_MS).unref()
  }
}

/** `onRefused`: the system has no file descriptor, memory or process left, perhaps for now. */
function startProcess (say: (line: string) => void, onRefused: () => void): void {
  const refused = ({ message }: Error) => {
    say(`A process could not start: ${message}`)
    onRefused()
  }
  try {
    const worker = cluster.fork()
    worker.on('error', (error) => {
      // Node's own messages to a worker that was just killed (a new connection, say) fail too; `exit` says what became
      // of it.
      if (worker.process.pid !== undefined) return say(`A process could not be reached: ${error.message}`)
      // It never ran, and no `exit` follows.
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
