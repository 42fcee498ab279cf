import { ApiError } from '../errors.js'
import { Lane, type WaitingTask } from './lane.js'

export interface FairQueueOptions {
  /** How many tasks run at once. */
  slots: number
  /** How many tasks may wait, over all keys. */
  maxWaiting: number
  /** What a refused client is told to wait, in seconds. */
  retryAfterSeconds?: number
}

/** Whose turn a task takes: a key, or keys from the widest group to the narrowest. */
export type QueueKey = string | readonly string[]

/**
 * Shares a few slots fairly between keys (accounts, address prefixes): keys take turns (round robin), and tasks of one
 * key run in order. When the queue is full, the newest task of the key with the most waiting tasks is refused ("longest
 * queue drop"). With a path of keys, this holds at each level of it. No path may be the start of another.
 */
export class FairQueue {
  readonly #options: FairQueueOptions
  readonly #waiting = new Lane()
  #running = 0
  #closed: Error | undefined

  constructor (options: FairQueueOptions) {
    this.#options = options
  }

  /** Tasks waiting or running. */
  get pending (): number {
    return this.#running + this.#waiting.size
  }

  get waiting (): number {
    return this.#waiting.size
  }

  /**
   * Runs `task` in the turn of `key`. **Throws** `overloaded`, the reason of `signal` while the task waits, or what
   * `task` throws.
   */
  async run<T>(key: QueueKey, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(key, signal)
    try {
      return await task()
    } finally {
      release()
    }
  }

  /** Resolves with the release of a slot, which may be called more than once. **Throws** as {@link run} does. */
  async acquire (key: QueueKey, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    if (this.#closed !== undefined) throw this.#closed
    if (this.#running < this.#options.slots) return this.#take()
    return await new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.remove(task)
        task.refuse(signal?.reason as Error)
      }
      const settled = () => signal?.removeEventListener('abort', abort)
      const task: WaitingTask = {
        path: typeof key === 'string' ? [key] : key,
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
    for (let task = this.#waiting.next(); task !== undefined; task = this.#waiting.next()) task.refuse(reason)
  }

  #enqueue (task: WaitingTask): void {
    this.#waiting.add(task)
    if (this.#waiting.size <= this.#options.maxWaiting) return
    const dropped = this.#waiting.newestOfLongest(task.path) ?? task
    this.#waiting.remove(dropped)
    const retryAfter = String(this.#options.retryAfterSeconds ?? 5)
    dropped.refuse(new ApiError('overloaded', { headers: { 'retry-after': retryAfter } }))
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

  #startNext (): void {
    this.#waiting.next()?.start(this.#take())
  }
}
