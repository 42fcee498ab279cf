/**
 * Something to be done now and then, ended by `signal` as soon as it can be; and what is said where it fails: the next
 * time will do.
 */
export interface Chore {
  complaint: string
  run(signal: AbortSignal): Promise<unknown>
}

/** Does chores one after the other, every `everyMs` milliseconds, and never twice at once. */
export class Housekeeping {
  readonly #onFailure: (error: unknown, complaint: string) => void
  readonly #stopping = new AbortController()
  readonly #timer: NodeJS.Timeout
  #running: Promise<void> | undefined

  constructor (chores: Chore[], everyMs: number, onFailure: (error: unknown, complaint: string) => void) {
    this.#onFailure = onFailure
    this.#timer = setInterval(() => {
      this.#running ??= this.do(chores).finally(() => {
        this.#running = undefined
      })
    }, everyMs)
    this.#timer.unref()
  }

  /** Does some now. */
  async do (chores: Chore[]): Promise<void> {
    for (const { complaint, run } of chores) {
      if (!this.#stopping.signal.aborted) {
        await run(this.#stopping.signal).catch((error: unknown) => this.#onFailure(error, complaint))
      }
    }
  }

  /** Resolves when nothing is being done any more. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#timer)
    await this.#running
  }
}
