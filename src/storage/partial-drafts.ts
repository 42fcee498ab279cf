import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, open, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MiB } from '../bytes.js'
import type { Draft, DraftWriter } from './blob-store.js'
import { BlockWriter } from './block-writer.js'
import { storageError } from './disk-error.js'
import { syncPath } from './durable-folder.js'

const READ_BYTES = MiB
/** The file system has no hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

interface Folders {
  drafts: string
  blobs: string
  /** The names of this process that the sweep must ignore. */
  writing: Set<string>
}

/**
 * Opens a draft that several requests write, one after another. Creates it durably if `sizeBytes` is 0, and cuts it to
 * `sizeBytes`, because a crash may have left bytes that were not synced. Returns undefined if the draft is shorter.
 * **Throws** as {@link BlobStore.receive} does.
 */
export async function openPartialDraft (path: string, sizeBytes: number): Promise<DraftWriter | undefined> {
  let file: FileHandle | undefined
  try {
    const create = sizeBytes === 0 ? constants.O_CREAT : 0
    file = await open(path, constants.O_RDWR | create, 0o640)
    if (sizeBytes === 0) await syncPath(dirname(path))
    const { size } = await file.stat()
    if (size > sizeBytes) await file.truncate(sizeBytes)
    if (size >= sizeBytes) return new PartialDraftWriter(file, sizeBytes)
    await file.close()
    return undefined
  } catch (error) {
    await file?.close().catch(() => {})
    if (sizeBytes > 0 && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw storageError(error)
  }
}

class PartialDraftWriter implements DraftWriter {
  readonly #file: FileHandle
  readonly #blocks: BlockWriter
  #hasFailed = false

  constructor (file: FileHandle, position: number) {
    this.#file = file
    this.#blocks = new BlockWriter(file, position)
  }

  get position (): number {
    return this.#blocks.position
  }

  async write (chunk: Buffer): Promise<void> {
    await this.#onDisk(this.#blocks.add(chunk))
  }

  async flush (): Promise<void> {
    await this.#onDisk(this.#blocks.flush())
  }

  async sync (): Promise<number> {
    if (this.#hasFailed) throw storageError(Object.assign(new Error('an earlier write failed'), { code: 'EIO' }))
    const { position } = this
    await this.#onDisk(this.#file.datasync())
    return position
  }

  async close (): Promise<void> {
    await this.#file.close()
  }

  /** After a failure, no sync is tried, because the kernel may have dropped the pages. */
  async #onDisk (work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#hasFailed = true
      throw storageError(error)
    }
  }
}

/**
 * Measures a draft that is complete. `publish` gives the file a second name, and the draft stays until its upload has a
 * result: a crash before that loses nothing. `discard` keeps the draft. **Throws** as {@link BlobStore.receive} does.
 */
export async function completePartialDraft (name: string, { drafts, blobs, writing }: Folders): Promise<Draft> {
  const path = join(drafts, name)
  const blobName = randomUUID()
  try {
    const measured = await measure(path)
    return {
      path,
      ...measured,
      async publish () {
        writing.add(blobName)
        await linkDurably(path, join(blobs, blobName))
        return blobName
      },
      async discard () {
        writing.delete(blobName)
      }
    }
  } catch (error) {
    throw storageError(error)
  }
}

async function linkDurably (from: string, to: string): Promise<void> {
  try {
    await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (!NO_LINKS.includes(error.code ?? '')) throw error
      await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      await syncPath(to)
    })
    await syncPath(dirname(to))
  } catch (error) {
    await rm(to, { force: true }).catch(() => {})
    throw storageError(error)
  }
}

async function measure (path: string): Promise<{ sizeBytes: number; sha256: string }> {
  const file = await open(path, 'r')
  try {
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    let sizeBytes = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, sizeBytes)
      if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') }
      hash.update(buffer.subarray(0, bytesRead))
      sizeBytes += bytesRead
    }
  } finally {
    await file.close()
  }
}
