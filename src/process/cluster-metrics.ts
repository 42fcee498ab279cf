import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { tell, tellPrimary } from './messages.js'

/** The figures of one process, as prom-client gives them as JSON. */
export type Figures = object[]

/**
 * One process asks (`wanted`), the first one asks all, each of them gives, and the first one hands all of it to who
 * asked.
 */
type Message =
  | { figures: 'wanted' | 'ask'; id: string }
  | { figures: 'given'; id: string; own: Figures }
  | { figures: 'all'; id: string; all: Figures[] }

/** A process that is busy, starting or stopping does not hold the others up. */
const WAIT_MS = 1000

/** In the first process: lets its workers know one another's figures. */
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

/** In a worker: gives its own figures to whoever asks, and answers how to ask for those of all, its own among them. */
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
