import { closeSync, openSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { StartupError } from '../errors.js'
import { SECOND } from '../time.js'

/**
 * Offset of the write format version in the header of an SQLite file
 * (https://www.sqlite.org/fileformat2.html#database_header).
 */
const WRITE_VERSION_OFFSET = 18
const ROLLBACK_JOURNAL = 1
/** A checkpoint changes the file after its log. It follows a commit at once, and writes 4 MB. */
const CHECKPOINT_MS = 10 * SECOND

/**
 * **Throws** {@link StartupError} for a SQLite file that must not be used. A backup must not be combined with the
 * write-ahead log of an earlier file. A backup has another journal mode (`VACUUM INTO`), or was changed after the log
 * (copied or moved). A file that fails `PRAGMA quick_check` is damaged. The check runs in a thread, and only if
 * {@link markIntact} did not record the current state of the file: after a crash, or after a restore.
 */
export async function checkDatabaseFile (path: string): Promise<void> {
  const marker = await readFile(markerOf(path), 'utf8').catch(() => '')
  await rm(markerOf(path), { force: true })
  const [file, log] = [await statOf(path), await statOf(`${path}-wal`)]
  if (!file?.size) return
  const hasLog = log !== undefined && log.size > 0
  if (hasLog && writeVersion(path) === ROLLBACK_JOURNAL) {
    throw new StartupError(
      `${path} was restored next to the log of an older database: remove ${path}-wal and ${path}-shm`
    )
  }
  if (hasLog && changedAt(file) > changedAt(log) + CHECKPOINT_MS) {
    throw new StartupError(
      `${path} was written after its log: if a backup was restored, remove ${path}-wal and ${path}-shm; ` +
        `if nothing was restored, run \`touch ${path}-wal\``
    )
  }
  if (!hasLog && marker === (await fingerprint(path))) return
  const fault = await quickCheck(path)
  if (fault !== undefined) {
    throw new StartupError(`the database ${path} is damaged (${fault}): restore a backup (docs/backup.md)`)
  }
}

/** Records that a database was closed cleanly, so that the next start need not read the whole file. */
export async function markIntact (path: string): Promise<void> {
  await writeFile(markerOf(path), await fingerprint(path))
}

const markerOf = (path: string) => `${path}-intact`

async function fingerprint (path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path)
  return `${ino} ${size} ${mtimeMs}\n`
}

async function statOf (path: string): Promise<Stats | undefined> {
  return await stat(path).catch(() => undefined)
}

/** `mv` and `cp -p` keep the modification time of a file, but set its change time. */
const changedAt = ({ mtimeMs, ctimeMs }: Stats) => Math.max(mtimeMs, ctimeMs)

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

/**
 * Returns the first fault that SQLite finds, or undefined. It reads the whole file, and nothing is served meanwhile.
 */
async function quickCheck (path: string): Promise<string | undefined> {
  const worker = new Worker(new URL('./file-check-worker.js', import.meta.url), { workerData: path })
  try {
    return await new Promise((resolve, reject) => {
      worker.on('message', resolve)
      worker.on('error', reject)
      worker.on('exit', () => reject(new StartupError(`the check of ${path} ended early: start the server again`)))
    })
  } finally {
    await worker.terminate()
  }
}
