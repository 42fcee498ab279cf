import type { Serializable } from 'node:child_process'
import type { Worker } from 'node:cluster'

/**
 * Sends a message to a worker. A worker that was killed a moment ago is no error: its `exit` event follows. Without a
 * callback, Node emits an `error` event instead, which ends the process that sent.
 */
export function tell (worker: Worker, message: Serializable): void {
  worker.send(message, undefined, () => {})
}

/** Sends a message to the primary. A primary that is gone is no error: the `disconnect` event stops this worker. */
export function tellPrimary (message: Serializable): void {
  process.send?.(message, undefined, undefined, () => {})
}
