import { createDecipheriv } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { MiB } from '../../bytes.js'
import { StreamDescriber, type StreamDescription } from './stream-description.js'

/** Six seconds at 5 Mbit/s. A multiple of the AES block size. */
const MAX_BYTES = 4 * MiB
const CHUNK_BYTES = 256 * 1024
const FIRST_IV = Buffer.alloc(16)

/**
 * Describes a package by the first segment in its blob. The segment has `bytes` bytes; only its first 4 MiB are read.
 */
export async function describeSegment (path: string, bytes: number, contentKey: Buffer): Promise<StreamDescription> {
  const describer = new StreamDescriber()
  for await (const part of decrypted(path, bytes, contentKey)) describer.write(part)
  return describer.describe()
}

/** Returns the size of the pictures by the first of them in a segment. It reads no further. */
export async function pictureSizeOf (
  path: string,
  bytes: number,
  contentKey: Buffer
): Promise<StreamDescription['size']> {
  const describer = new StreamDescriber()
  for await (const part of decrypted(path, bytes, contentKey)) {
    describer.write(part)
    if (describer.size !== null) break
  }
  return describer.size
}

async function * decrypted (path: string, bytes: number, contentKey: Buffer): AsyncGenerator<Buffer> {
  const decipher = createDecipheriv('aes-128-cbc', contentKey, FIRST_IV).setAutoPadding(false)
  const source = createReadStream(path, { end: Math.min(bytes, MAX_BYTES) - 1, highWaterMark: CHUNK_BYTES })
  for await (const chunk of source) yield decipher.update(chunk as Buffer)
}
