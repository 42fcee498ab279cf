import SQLite from 'better-sqlite3'
import { parentPort, workerData } from 'node:worker_threads'

/** Returns the first fault of the database file at `workerData`, or undefined. **Throws** errors of the disk. */
function firstFault (): string | undefined {
  const file = new SQLite(workerData as string, { timeout: 10_000 })
  try {
    const result = file.pragma('quick_check(1)', { simple: true }) as string
    return result === 'ok' ? undefined : result
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string }
    if (!/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw error
    return message
  } finally {
    file.close()
  }
}

parentPort!.postMessage(firstFault())
