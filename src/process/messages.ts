import type { Serializable } from 'node:child_process'
import type { Worker } from 'node:cluster'

/**
 * Sends a message to a worker, and ignores an error. A worker that was just killed emits `exit`. Without a callback,
 * Node emits an `error` event, which ends the sender.
 */
export function sendToWorker (worker: Worker, message: Serializable): void {
  worker.send(message, undefined, () => {})
}

/**
 * Sends a message to the primary, and ignores an error. If the primary has ended, the `disconnect` event stops this
 * worker.
 */
export function sendToPrimary (message: Serializable): void {
  process.send?.(message, undefined, undefined, () => {})
}
