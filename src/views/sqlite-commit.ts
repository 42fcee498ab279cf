import { Worker } from 'node:worker_threads'
import type { OnDamage } from '../database/damage-watch.js'
import { isDamaged } from '../database/dialect.js'
import type { CommitViews } from './view-writer.js'
import type { View } from './schema.js'
import type { ViewOutcome } from './view-store.js'

export interface CommitRequest {
  id: number
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

/**
 * Commits in a worker thread with a connection of its own: on SQLite every durable commit blocks its thread for an
 * fsync, and the event loop must not stand still for it. A worker that dies fails what it had, and the next batch gets
 * a new one.
 */
export function createSqliteCommit (path: string, onDamage: OnDamage): SqliteCommit {
  const pending = new Map<number, { resolve(outcomes: ViewOutcome[]): void; reject(error: Error): void }>()
  let sequence = 0
  let worker: Worker | undefined

  function start (): Worker {
    const fresh = new Worker(new URL('./sqlite-commit-worker.js', import.meta.url), { workerData: path })
    fresh.on('message', ({ id, outcomes, error }: CommitReply) => {
      const waiting = pending.get(id)
      pending.delete(id)
      if (error === undefined) {
        waiting?.resolve(outcomes!)
        return
      }
      const fault = Object.assign(new Error(error.message), { code: error.code })
      if (isDamaged(fault)) onDamage(fault)
      waiting?.reject(fault)
    })
    fresh.on('error', fail)
    fresh.on('exit', () => fail(new Error('the view writer ended')))
    return fresh

    function fail (error: Error): void {
      if (worker === fresh) worker = undefined
      for (const { reject } of pending.values()) reject(error)
      pending.clear()
    }
  }

  const commit: CommitViews = (batch) =>
    new Promise((resolve, reject) => {
      worker ??= start()
      const id = ++sequence
      pending.set(id, { resolve, reject })
      worker.postMessage({ id, batch } satisfies CommitRequest)
    })

  return {
    /** Starts the thread before there is a view: loading its code takes as long as many commits. */
    warmUp: () => commit([]),
    commit,
    async close () {
      await worker?.terminate()
    }
  }
}
