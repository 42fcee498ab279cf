import { ApiError } from '../errors.js'
import { Lane, type WaitingTask } from './lane.js'

export interface FairQueueOptions {
  /** Maximum number of running tasks. */
  slots: number
  /** Maximum number of waiting tasks of all keys. */
  maxWaiting: number
  /** The `Retry-After` of a refused client, in seconds. */
  retryAfterSeconds?: number
}

/** The key of a task, or a path of keys from the widest group to the narrowest. */
export type QueueKey = string | readonly string[]

/**
 * Shares a few slots fairly between keys (accounts, address prefixes). Keys take turns (round robin), and tasks of one
 * key run in order. A full queue refuses the newest task of the key with the most waiting tasks ("longest queue drop").
 * With paths of keys, these rules apply at each level. No path may be a prefix of another path.
 */
export class FairQueue {
  readonly #options: FairQueueOptions
  readonly #waiting = new Lane()
  #running = 0
  #closed: Error | undefined

  constructor (options: FairQueueOptions) {
    this.#options = options
  }

  /** Number of waiting and running tasks. */
  get pending (): number {
    return this.#running + this.#waiting.size
  }

  get waiting (): number {
    return this.#waiting.size
  }

  /**
   * Runs `task` when it is the turn of `key`. **Throws** `overloaded`, an error of `task`, or the reason of `signal` if
   * it aborts while the task waits.
   */
  async run<T>(key: QueueKey, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(key, signal)
    try {
      return await task()
    } finally {
      release()
    }
  }

  /**
   * Resolves with a function that releases a slot. Further calls of the function do nothing.
   * **Throws** like {@link run}.
   */
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

  /** Refuses all waiting and later tasks with `reason`. Running tasks continue. */
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
