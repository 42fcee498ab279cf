import SQLite from 'better-sqlite3'

/** The locks of this process. The set protects them from garbage collection, which would release them. */
const held = new Set<SQLite.Database>()

/**
 * Makes this process the only user of a SQLite database, by a lock on a file beside it. The operating system releases
 * the lock when the process ends for any reason. Returns the function that releases the lock. Undefined if another
 * process holds the lock, for example a process that is still stopping after a restart.
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
