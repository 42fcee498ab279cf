import { Worker } from 'node:worker_threads'
import type { OnDamage } from '../database/damage-watch.js'
import { isDamaged } from '../database/dialect.js'
import { ApiError } from '../errors.js'
import { SECOND } from '../time.js'
import type { CommitViews } from './view-writer.js'
import type { View } from './schema.js'
import type { ViewOutcome } from './view-store.js'

export interface CommitRequest {
  id: number
  /** An empty batch requests a rehearsal. */
  batch: View[]
}
export interface CommitReply {
  id: number
  outcomes?: ViewOutcome[]
  error?: { message: string; code?: string }
}

export interface SqliteCommit {
  warmUp(): Promise<unknown>
  commit: CommitViews
  close(): Promise<void>
}

/** A commit waits 10 s for a lock that another process holds. The rest is for a slow disk. */
const COMMIT_LIMIT_MS = 30 * SECOND

/**
 * Commits views in a worker thread with its own connection. On SQLite, every durable commit blocks its thread for an
 * fsync, and the event loop must not block. If the thread ends, or a commit takes longer than `limitMs`, the pending
 * batches **throw** `database_unavailable`. Each of them was then committed as a whole or not at all. The next batch
 * starts a new thread.
 */
export function createSqliteCommit (path: string, onDamage: OnDamage, limitMs = COMMIT_LIMIT_MS): SqliteCommit {
  let thread: CommitThread | undefined

  const commit: CommitViews = async (batch) => {
    if (thread === undefined || thread.ended) thread = new CommitThread(path, limitMs)
    try {
      return await thread.commit(batch)
    } catch (error) {
      if (isDamaged(error)) onDamage(error as Error)
      throw error
    }
  }

  return {
    /**
     * Starts the thread and rehearses a commit, because loading and compiling its code takes as long as many commits.
     */
    warmUp: () => commit([]),
    commit,
    async close () {
      await thread?.close()
    }
  }
}

interface PendingBatch {
  resolve(outcomes: ViewOutcome[]): void
  reject(error: Error): void
  late: NodeJS.Timeout
}

class CommitThread {
  readonly #worker: Worker
  readonly #limitMs: number
  readonly #pending = new Map<number, PendingBatch>()
  #sequence = 0
  #ended = false

  constructor (path: string, limitMs: number) {
    this.#limitMs = limitMs
    this.#worker = new Worker(new URL('./sqlite-commit-worker.js', import.meta.url), { workerData: path })
    this.#worker.on('message', (reply: CommitReply) => this.#settle(reply))
    this.#worker.on('error', ({ message }) => this.#fail(message))
    this.#worker.on('exit', (code) => this.#fail(`exit code ${code}`))
  }

  get ended (): boolean {
    return this.#ended
  }

  async commit (batch: View[]): Promise<ViewOutcome[]> {
    return await new Promise((resolve, reject) => {
      const id = ++this.#sequence
      const late = setTimeout(() => this.#fail(`no commit within ${this.#limitMs / SECOND} s`), this.#limitMs)
      this.#pending.set(id, { resolve, reject, late })
      this.#worker.postMessage({ id, batch } satisfies CommitRequest)
    })
  }

  async close (): Promise<void> {
    // A failed thread may be inside a system call that never returns.
    if (!this.#ended) await this.#worker.terminate()
  }

  #settle ({ id, outcomes, error }: CommitReply): void {
    const batch = this.#pending.get(id)
    if (batch === undefined) return
    this.#pending.delete(id)
    clearTimeout(batch.late)
    if (error === undefined) batch.resolve(outcomes!)
    else batch.reject(Object.assign(new Error(error.message), { code: error.code }))
  }

  #fail (reason: string): void {
    this.#ended = true
    void this.#worker.terminate()
    const cause = new Error(`the view writer failed: ${reason}`)
    for (const { reject, late } of this.#pending.values()) {
      clearTimeout(late)
      reject(new ApiError('database_unavailable', { cause, headers: { 'retry-after': '5' } }))
    }
    this.#pending.clear()
  }
}
