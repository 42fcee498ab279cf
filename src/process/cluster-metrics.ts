import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { tell, tellPrimary } from './messages.js'

/** The metrics of one process, in the JSON of prom-client. */
export type Figures = object[]

/**
 * A worker sends `wanted` to the primary. The primary sends `ask` to all workers, and each worker sends `given`. The
 * primary then sends `all` to the first worker.
 */
type Message =
  | { figures: 'wanted' | 'ask'; id: string }
  | { figures: 'given'; id: string; own: Figures }
  | { figures: 'all'; id: string; all: Figures[] }

/**
 * Maximum wait for the metrics of all workers. A worker that is busy, starting or stopping must not delay the others.
 */
const WAIT_MS = 1000

/** Collects the metrics of all workers for each worker that requests them. Called in the primary. */
export function relayFigures (): void {
  const asked = new Map<string, { left: number; all: Figures[]; answer: () => void }>()
  cluster.on('message', (asker: Worker, message: Message) => {
    if (message.figures === 'wanted') {
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected())
      const { id } = message
      const all: Figures[] = []
      const answer = () => {
        clearTimeout(late)
        if (asked.delete(id) && asker.isConnected()) tell(asker, { figures: 'all', id, all } satisfies Message)
      }
      const late = setTimeout(answer, WAIT_MS)
      asked.set(id, { left: workers.length, all, answer })
      for (const worker of workers) tell(worker!, { figures: 'ask', id } satisfies Message)
    } else if (message.figures === 'given') {
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
export function exchangeFigures (own: () => Promise<Figures>): () => Promise<Figures[]> {
  const waiting = new Map<string, (all: Figures[]) => void>()
  process.on('message', (message: Message) => {
    if (message.figures === 'ask') {
      void own().then((own) => tellPrimary({ figures: 'given', id: message.id, own } satisfies Message))
    } else if (message.figures === 'all') {
      waiting.get(message.id)?.(message.all)
      waiting.delete(message.id)
    }
  })
  return async () => {
    const id = randomUUID()
    return await new Promise((resolve) => {
      waiting.set(id, resolve)
      tellPrimary({ figures: 'wanted', id } satisfies Message)
    })
  }
}
