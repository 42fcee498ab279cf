import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * Creates a folder and its missing parents durably: a power cut does not lose them. It blocks, so use it only at a
 * start.
 */
export function makeFolder (path: string): void {
  const first = mkdirSync(path, { recursive: true })
  if (first === undefined) return
  for (let made = resolve(path); ; made = dirname(made)) {
    syncFolder(dirname(made))
    if (made === resolve(first)) return
  }
}

/** Syncs a folder. Only then are its new and renamed entries durable (fsync(2)). */
export function syncFolder (path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
