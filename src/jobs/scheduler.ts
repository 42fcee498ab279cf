/** A maintenance task. `signal` aborts when the server stops; a failure is logged with `failureMessage`. */
export interface Task {
  failureMessage: string
  run(signal: AbortSignal): Promise<unknown>
}

/** Runs tasks one after another, every `intervalMs` milliseconds, and never two at once. */
export class TaskScheduler {
  readonly #onFailure: (error: unknown, failureMessage: string) => void
  readonly #stopping = new AbortController()
  readonly #timer: NodeJS.Timeout
  #running: Promise<void> | undefined

  constructor (tasks: Task[], intervalMs: number, onFailure: (error: unknown, failureMessage: string) => void) {
    this.#onFailure = onFailure
    this.#timer = setInterval(() => {
      this.#running ??= this.run(tasks).finally(() => {
        this.#running = undefined
      })
    }, intervalMs)
    this.#timer.unref()
  }

  /** Runs tasks now. After a failed task, the next task runs. */
  async run (tasks: Task[]): Promise<void> {
    for (const { failureMessage, run } of tasks) {
      if (this.#stopping.signal.aborted) return
      await run(this.#stopping.signal).catch((error: unknown) => this.#onFailure(error, failureMessage))
    }
  }

  /** Aborts the running task. Resolves once it has ended. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await this.#running
  }
}
