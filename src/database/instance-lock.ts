import SQLite from 'better-sqlite3'

/** Of this process, so that none is released by garbage collection. */
const held = new Set<SQLite.Database>()

/**
 * Makes this process the only user of a SQLite database, by a lock beside it that the operating system takes back when
 * the process ends, however it ends. Returns how to release it; undefined where another process has it: one that is
 * still stopping, after a restart that did not wait.
 */
export function acquireInstanceLock (databasePath: string): (() => void) | undefined {
  const lock = new SQLite(`${databasePath}-sole-user`, { timeout: 0 })
  try {
    lock.exec('begin exclusive')
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    return undefined
  }
  held.add(lock)
  return () => {
    held.delete(lock)
    lock.close()
  }
}
