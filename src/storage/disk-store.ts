import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, open, opendir, readFile, rename, rm, stat, utimes, writeFile, type FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { CommitMarks, isMarked } from './commit-marks.js'
import { BlockWriter } from './block-writer.js'
import { storageError, undefinedIfMissing } from './disk-error.js'
import { makeFolder, syncPath } from './durable-folder.js'
import type { BlobStore, Draft, DraftWriter, OpenDraft, StoredItem } from './blob-store.js'
import { OpenFiles, type ReadableFile } from './open-files.js'
import { completePartialDraft, openPartialDraft } from './partial-drafts.js'

/** Well below the age at which the sweep removes an unchanged draft. */
const TOUCH_EVERY_MS = 5 * 60_000

/** Opens a folder as a store, and creates what is missing. `onMarkFault` gets the first failure to mark a file. */
export async function openDiskStore (
  folder: string,
  onMarkFault: (error: unknown) => void = () => {}
): Promise<BlobStore> {
  makeFolder(join(folder, 'tmp'))
  makeFolder(join(folder, 'blobs'))
  return new DiskStore(folder, onMarkFault)
}

/** A folder with `tmp/` for drafts and `blobs/` for published files, on one file system. */
class DiskStore implements BlobStore {
  readonly #folder: string
  readonly #drafts: string
  readonly #blobs: string
  /** Names of the drafts of this process. */
  readonly #writing = new Set<string>()
  readonly #files = new OpenFiles()
  readonly #marks: CommitMarks

  constructor (folder: string, onMarkFault: (error: unknown) => void) {
    this.#folder = folder
    this.#drafts = join(folder, 'tmp')
    this.#blobs = join(folder, 'blobs')
    this.#marks = new CommitMarks(this.#blobs, onMarkFault)
  }

  async receive (source: Readable, admit: (bytes: number) => void): Promise<Draft> {
    const draft = this.reserve()
    try {
      const file = await open(draft.path, 'wx', 0o640)
      try {
        const measured = await writeDown(source, file, admit)
        await file.sync()
        return { ...draft, ...measured, publish: () => this.#publish(basename(draft.path)) }
      } finally {
        await file.close()
      }
    } catch (error) {
      await draft.discard()
      throw storageError(error)
    }
  }

  reserve (): OpenDraft {
    const name = randomUUID()
    const path = join(this.#drafts, name)
    this.#writing.add(name)
    // The sweep of another process removes an unchanged draft, because a crash may have left it.
    const touching = setInterval(() => {
      const now = new Date()
      utimes(path, now, now).catch(() => {})
    }, TOUCH_EVERY_MS).unref()
    return {
      path,
      publish: async () => {
        await syncPath(path).catch((error: unknown) => {
          throw storageError(error)
        })
        return await this.#publish(name)
      },
      discard: async () => {
        clearInterval(touching)
        await rm(path, { force: true }).catch(() => {})
        this.#writing.delete(name)
      }
    }
  }

  async openDraft (name: string, sizeBytes: number): Promise<DraftWriter | undefined> {
    return await openPartialDraft(join(this.#drafts, name), sizeBytes)
  }

  async completeDraft (name: string): Promise<Draft> {
    return await completePartialDraft(name, { drafts: this.#drafts, blobs: this.#blobs, writing: this.#writing })
  }

  async open (name: string): Promise<ReadableFile | undefined> {
    return await this.#files.open(this.pathOf(name)).catch(undefinedIfMissing)
  }

  pathOf (name: string): string {
    return join(this.#blobs, name)
  }

  async remove (name: string): Promise<void> {
    await rm(this.pathOf(name), { force: true })
  }

  async markCommitted (name: string): Promise<void> {
    await this.#marks.mark(name)
  }

  async unmarkCommitted (name: string): Promise<void> {
    await this.#marks.unmark(name)
  }

  async isCommitted (name: string): Promise<boolean> {
    const stats = await stat(this.pathOf(name)).catch(undefinedIfMissing)
    return stats !== undefined && isMarked(stats)
  }

  async removeDraft (name: string): Promise<void> {
    await rm(join(this.#drafts, name), { force: true })
  }

  async * list (): AsyncIterable<StoredItem> {
    yield * itemsOf(this.#drafts, 'draft', this.#writing)
    yield * itemsOf(this.#blobs, 'blob', this.#writing)
  }

  async identity (fresh: string | undefined): Promise<string | undefined> {
    const path = join(this.#folder, '.store-id')
    if (fresh !== undefined) {
      await writeFile(path, `${fresh}\n`, { flag: 'wx', flush: true })
        .then(() => syncPath(this.#folder))
        .catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error
        })
    }
    return (await readFile(path, 'utf8').catch(undefinedIfMissing))?.trim()
  }

  async sweepCount (): Promise<number> {
    return Number((await readFile(join(this.#folder, '.store-age'), 'utf8').catch(undefinedIfMissing)) ?? 0)
  }

  async setSweepCount (count: number): Promise<void> {
    const fresh = join(this.#folder, `.store-age.${randomUUID()}`)
    await writeFile(fresh, `${count}\n`)
    await rename(fresh, join(this.#folder, '.store-age'))
  }

  async check (): Promise<void> {
    await access(this.#drafts, constants.W_OK)
  }

  async close (): Promise<void> {
    await this.#files.close()
  }

  async #publish (name: string): Promise<string> {
    try {
      await rename(join(this.#drafts, name), this.pathOf(name))
      await syncPath(this.#blobs)
      return name
    } catch (error) {
      // The rename may already have happened.
      await rm(this.pathOf(name), { force: true }).catch(() => {})
      throw storageError(error)
    }
  }
}

/** Writes a stream in blocks of 1 MiB. Returns its size and SHA-256. */
async function writeDown (
  source: Readable,
  file: FileHandle,
  admit: (bytes: number) => void
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256')
  const blocks = new BlockWriter(file)
  // The caller ends a refused source, because a form must still read its next part.
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    admit(chunk.length)
    hash.update(chunk)
    await blocks.add(chunk)
  }
  await blocks.flush()
  return { sizeBytes: blocks.position, sha256: hash.digest('hex') }
}

async function * itemsOf (folder: string, kind: StoredItem['kind'], writing: Set<string>): AsyncIterable<StoredItem> {
  for await (const entry of await opendir(folder)) {
    if (!entry.isFile() || writing.has(entry.name)) continue
    const stats = await stat(join(folder, entry.name)).catch(undefinedIfMissing)
    if (stats === undefined) continue
    yield {
      kind,
      name: entry.name,
      sizeBytes: stats.size,
      fingerprint: `${stats.ino}:${stats.size}:${stats.mtimeMs}`,
      committed: kind === 'blob' && isMarked(stats)
    }
  }
}
