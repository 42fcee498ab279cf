import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import type { Test } from 'tap'

/** The threads that this process starts from now on, as long as they run. */
export class Threads {
  readonly #running = new Set<Worker>()
  /** Threads that are still to be ended as they start. */
  #doomed = 0
  ended = 0

  constructor (t: Pick<Test, 'teardown'>) {
    const add = (thread: Worker) => {
      this.#running.add(thread)
      thread.once('exit', () => {
        this.ended++
        this.#running.delete(thread)
      })
      if (this.#doomed === 0) return
      this.#doomed--
      void thread.terminate()
    }
    process.on('worker', add)
    t.teardown(() => process.off('worker', add))
  }

  get running (): number {
    return this.#running.size
  }

  /** Ends the next `count` threads before they have loaded anything. */
  endNext (count = 1): void {
    this.#doomed = count
  }

  /** Ends all threads that run, as an exit of their own would: without an error. */
  async endAll (): Promise<void> {
    await Promise.all([...this.#running].map(async (thread) => {
      const exited = once(thread, 'exit')
      await thread.terminate()
      await exited
    }))
  }
}
