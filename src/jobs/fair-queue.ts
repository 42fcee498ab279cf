import { ApiError } from '../errors.js'

export interface FairQueueOptions {
  /** How many tasks run at once. */
  slots: number
  /** How many tasks may wait, over all keys. */
  maxWaiting: number
  /** What a refused client is told to wait, in seconds. */
  retryAfterSeconds?: number
}

interface Waiting {
  key: string
  start(release: () => void): void
  refuse(error: Error): void
}

/**
 * Shares a few slots fairly between keys (accounts, address prefixes): keys take turns (round robin), and tasks of one
 * key run in order. When the queue is full, the newest task of the key with the most waiting tasks is refused ("longest
 * queue drop").
 */
export class FairQueue {
  readonly #options: FairQueueOptions
  /** Waiting tasks by key, in the order in which the keys have their turns. */
  readonly #lanes = new Map<string, Waiting[]>()
  #waiting = 0
  #running = 0
  #closed: Error | undefined

  constructor (options: FairQueueOptions) {
    this.#options = options
  }

  /** Tasks waiting or running. */
  get pending (): number {
    return this.#running + this.#waiting
  }

  get waiting (): number {
    return this.#waiting
  }

  /**
   * Runs `task` in the turn of `key`. **Throws** `overloaded`, the reason of `signal` while the task waits, or what
   * `task` throws.
   */
  async run<T>(key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(key, signal)
    try {
      return await task()
    } finally {
      release()
    }
  }

  /** Resolves with the release of a slot, which may be called more than once. **Throws** as {@link run} does. */
  async acquire (key: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    if (this.#closed !== undefined) throw this.#closed
    if (this.#running < this.#options.slots) return this.#take()
    return await new Promise((resolve, reject) => {
      const abort = () => {
        this.#remove(task)
        task.refuse(signal?.reason as Error)
      }
      const settled = () => signal?.removeEventListener('abort', abort)
      const task: Waiting = {
        key,
        start: (release) => {
          settled()
          resolve(release)
        },
        refuse: (error) => {
          settled()
          reject(error)
        }
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#enqueue(task)
    })
  }

  /** Refuses every waiting task, and every later one, with `reason`. Running tasks go on. */
  close (reason: Error): void {
    this.#closed ??= reason
    const waiting = [...this.#lanes.values()].flat()
    this.#lanes.clear()
    this.#waiting = 0
    for (const { refuse } of waiting) refuse(reason)
  }

  #enqueue (task: Waiting): void {
    const lane = this.#lanes.get(task.key)
    if (lane === undefined) this.#lanes.set(task.key, [task])
    else lane.push(task)
    this.#waiting++
    if (this.#waiting > this.#options.maxWaiting) this.#dropFromLongest(task.key)
  }

  /** Of equally long lanes, the newcomer's own loses. */
  #dropFromLongest (newcomer: string): void {
    let longest = this.#lanes.get(newcomer)!
    for (const lane of this.#lanes.values()) if (lane.length > longest.length) longest = lane
    const dropped = longest.at(-1)!
    this.#remove(dropped)
    const retryAfter = String(this.#options.retryAfterSeconds ?? 5)
    dropped.refuse(new ApiError('overloaded', { headers: { 'retry-after': retryAfter } }))
  }

  #remove (task: Waiting): void {
    const lane = this.#lanes.get(task.key)
    const index = lane?.indexOf(task) ?? -1
    if (lane === undefined || index < 0) return
    lane.splice(index, 1)
    this.#waiting--
    if (lane.length === 0) this.#lanes.delete(task.key)
  }

  #take (): () => void {
    this.#running++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#running--
      this.#startNext()
    }
  }

  /** The first key has its turn, and goes behind the others if it has more tasks. */
  #startNext (): void {
    const [turn] = this.#lanes
    if (turn === undefined) return
    const [key, lane] = turn
    const task = lane.shift()!
    this.#waiting--
    this.#lanes.delete(key)
    if (lane.length > 0) this.#lanes.set(key, lane)
    task.start(this.#take())
  }
}
