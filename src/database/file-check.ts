import { once } from 'node:events'
import { closeSync, openSync, readSync } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { StartupError } from '../errors.js'

/**
 * Offset of the write format version in the header of an SQLite file
 * (https://www.sqlite.org/fileformat2.html#database_header).
 */
const WRITE_VERSION_OFFSET = 18
const ROLLBACK_JOURNAL = 1

/**
 * Refuses an SQLite file that must not be served. A file that `VACUUM INTO` made, beside the write-ahead log of an
 * earlier file, would be mixed with it. A file that `PRAGMA quick_check` refuses is damaged; the check runs in a
 * thread, and only where {@link markIntact} has not said since that nothing changed: after a crash, or for a restored
 * file. Throws {@link StartupError}.
 */
export async function checkDatabaseFile (path: string): Promise<void> {
  const marker = await readFile(markerOf(path), 'utf8').catch(() => '')
  await rm(markerOf(path), { force: true })
  if ((await sizeOf(path)) === 0) return
  const hasLog = (await sizeOf(`${path}-wal`)) > 0
  if (hasLog && writeVersion(path) === ROLLBACK_JOURNAL) {
    throw new StartupError(
      `${path} was restored, but the log of the database before it is still there: remove ${path}-wal and ${path}-shm`
    )
  }
  if (!hasLog && marker === (await fingerprint(path))) return
  const fault = await quickCheck(path)
  if (fault !== undefined) {
    throw new StartupError(`the database ${path} is damaged (${fault}): restore a backup (docs/backup.md)`)
  }
}

/** Records that a database was closed whole, so that the next start need not read all of it. */
export async function markIntact (path: string): Promise<void> {
  await writeFile(markerOf(path), await fingerprint(path))
}

const markerOf = (path: string) => `${path}-intact`

async function fingerprint (path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path)
  return `${ino} ${size} ${mtimeMs}\n`
}

async function sizeOf (path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0
  )
}

function writeVersion (path: string): number | undefined {
  const file = openSync(path, 'r')
  try {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, WRITE_VERSION_OFFSET)
    return byte[0]
  } finally {
    closeSync(file)
  }
}

/** The first fault that SQLite finds; undefined for none. */
async function quickCheck (path: string): Promise<string | undefined> {
  const worker = new Worker(new URL('./file-check-worker.js', import.meta.url), { workerData: path })
  try {
    const [fault] = (await once(worker, 'message')) as [string | undefined]
    return fault
  } finally {
    await worker.terminate()
  }
}
