import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { chmod, copyFile as cloneFile, link, open, stat } from 'node:fs/promises'
import { MiB } from '../bytes.js'

/** What a copy has: its size in bytes, and its SHA-256 in hex. */
export interface Copied {
  sizeBytes: number
  sha256: string
}

/**
 * Copies a file durably to a path that must not exist, and hashes it on the way. The copy gets `mode`. **Throws**
 * `ENOENT` if the source is missing.
 */
export async function copyFile (source: string, target: string, mode: number): Promise<Copied> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  const blocks = createReadStream(source, { highWaterMark: MiB })
  const file = await open(target, 'wx', 0o600)
  try {
    for await (const block of blocks as AsyncIterable<Buffer>) {
      hash.update(block)
      sizeBytes += block.length
      await file.writeFile(block)
    }
    await file.chmod(mode)
    await file.sync()
  } finally {
    await file.close()
  }
  return { sizeBytes, sha256: hash.digest('hex') }
}

/**
 * Links a file to a path that must not exist, and returns its size. On another file system, it copies the file instead.
 * **Throws** `ENOENT` if the source is missing.
 */
export async function linkFile (source: string, target: string): Promise<{ sizeBytes: number }> {
  try {
    await link(source, target)
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await cloneFile(source, target, constants.COPYFILE_EXCL)
    await chmod(target, (await stat(source)).mode)
  }
  return { sizeBytes: (await stat(target)).size }
}
