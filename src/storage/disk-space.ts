import { statfs } from 'node:fs/promises'

/** Returns the size of the file system of a folder, and what a process without privileges can still write, in bytes. */
export async function diskSpace (folder: string): Promise<{ sizeBytes: number; freeBytes: number }> {
  const { blocks, bavail, bsize } = await statfs(folder)
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize }
}
