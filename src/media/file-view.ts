import { fstatSync, readSync } from 'node:fs'

/** A file or a part of a file. `read` fills a buffer from a position and returns the number of bytes. */
export interface FileView {
  size: number
  read(into: Buffer, position: number): number
}

/** Returns a view of an open file. */
export function viewOf (file: number): FileView {
  return { size: fstatSync(file).size, read: (into, position) => readSync(file, into, 0, into.length, position) }
}

export function bytesAt (view: FileView, position: number, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  return bytes.subarray(0, view.read(bytes, position))
}
