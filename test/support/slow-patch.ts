import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { request, type ClientRequest } from 'node:http'
import { randomBytes } from 'node:crypto'
import { MiB } from '../../src/bytes.js'
import { wavHeader } from '../../src/process/wav-header.js'

/** A PATCH that sends some bytes, and then neither sends more nor ends. */
export interface StalledPatch {
  request: ClientRequest
  /** Resolves when the server has closed the connection. */
  closed: Promise<void>
}

/** Starts a PATCH at an offset, sends `bytes`, and stalls. */
export async function stalledPatch (
  url: string,
  token: string,
  { offset, bytes, length }: { offset: number; bytes: Buffer; length: number }
): Promise<StalledPatch> {
  const patch = request(url, {
    method: 'PATCH',
    agent: false,
    headers: {
      authorization: `Bearer ${token}`,
      'tus-resumable': '1.0.0',
      'content-type': 'application/offset+octet-stream',
      'content-length': String(length),
      'upload-offset': String(offset)
    }
  })
  const closed = new Promise<void>((resolve) => {
    patch.on('error', () => resolve()).on('close', () => resolve())
  })
  await new Promise((resolve) => patch.write(bytes, resolve))
  return { request: patch, closed }
}

/** Writes a valid WAV of noise to a file, in blocks. Returns its size and SHA-256. */
export async function writeNoise (path: string, bytes: number): Promise<{ sizeBytes: number; sha256: string }> {
  const header = wavHeader({ bytes, channels: 2, samplesPerSecond: 44_100, bitsPerSample: 16 })
  const hash = createHash('sha256')
  const file = createWriteStream(path)
  const write = async (block: Buffer) => {
    hash.update(block)
    if (!file.write(block)) await once(file, 'drain')
  }
  await write(header)
  for (let left = bytes; left > 0; left -= MiB) await write(randomBytes(Math.min(left, MiB)))
  file.end()
  await once(file, 'close')
  return { sizeBytes: header.length + bytes, sha256: hash.digest('hex') }
}
