import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { sendToPrimary, sendToWorker } from './messages.js'

/** The metrics of one process, in the JSON of prom-client. */
export type ProcessMetrics = object[]

/**
 * A worker sends `wanted` to the primary. The primary sends `ask` to all workers, and each worker sends `given`. The
 * primary then sends `all` to the first worker.
 */
type Message =
  | { metrics: 'wanted' | 'ask'; id: string }
  | { metrics: 'given'; id: string; own: ProcessMetrics }
  | { metrics: 'all'; id: string; all: ProcessMetrics[] }

/**
 * Maximum wait for the metrics of all workers. A worker that is busy, starting or stopping must not delay the others.
 */
const WAIT_MS = 1000

/** Collects the metrics of all workers for each worker that requests them. Called in the primary. */
export function relayMetrics (): void {
  const asked = new Map<string, { left: number; all: ProcessMetrics[]; answer: () => void }>()
  cluster.on('message', (asker: Worker, message: Message) => {
    if (message.metrics === 'wanted') {
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected())
      const { id } = message
      const all: ProcessMetrics[] = []
      const answer = () => {
        clearTimeout(late)
        if (asked.delete(id) && asker.isConnected()) sendToWorker(asker, { metrics: 'all', id, all } satisfies Message)
      }
      const late = setTimeout(answer, WAIT_MS)
      asked.set(id, { left: workers.length, all, answer })
      for (const worker of workers) sendToWorker(worker!, { metrics: 'ask', id } satisfies Message)
    } else if (message.metrics === 'given') {
      const request = asked.get(message.id)
      request?.all.push(message.own)
      if (request !== undefined && --request.left === 0) request.answer()
    }
  })
}

/**
 * Sends the metrics of this worker on request. Returns a function that resolves with the metrics of all workers. Called
 * in a worker.
 */
export function exchangeMetrics (own: () => Promise<ProcessMetrics>): () => Promise<ProcessMetrics[]> {
  const waiting = new Map<string, (all: ProcessMetrics[]) => void>()
  process.on('message', (message: Message) => {
    if (message.metrics === 'ask') {
      void own().then((own) => sendToPrimary({ metrics: 'given', id: message.id, own } satisfies Message))
    } else if (message.metrics === 'all') {
      waiting.get(message.id)?.(message.all)
      waiting.delete(message.id)
    }
  })
  return async () => {
    const id = randomUUID()
    return await new Promise((resolve) => {
      waiting.set(id, resolve)
      sendToPrimary({ metrics: 'wanted', id } satisfies Message)
    })
  }
}
