import { createHash, timingSafeEqual, type Hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { KiB, MiB } from '../bytes.js'
import { ApiError } from '../errors.js'
import type { DraftWriter } from '../storage/blob-store.js'
import type { Upload } from './schema.js'
import type { Hold } from './upload-holds.js'

/** After this many bytes, a long part is synced and its offset stored. A crash loses little more than this. */
const CHECKPOINT_BYTES = 16 * MiB
/** No more bytes are read while this many are not stored, because the disk is slower than the client. */
const MAX_UNSTORED_BYTES = 48 * MiB

/** Small uploads may come in parts of any size. Beyond that, the average part must have {@link MIN_PART_BYTES}. */
const FREE_PARTS = 1000
const MIN_PART_BYTES = 64 * KiB

export const checksumAlgorithms = ['sha256', 'sha1'] as const

/** The checksum of one part, as the client declared it. */
export interface Checksum {
  algorithm: (typeof checksumAlgorithms)[number]
  digest: Buffer
}

/** One part of the file, as its request declares it. */
export interface Part {
  offsetBytes: number
  /** Undefined if the request does not declare the length of its body. */
  sizeBytes?: number
  checksum?: Checksum
}

export interface PartOptions {
  hold: Hold
  writer: DraftWriter
  /** The maximum number of bytes of the part. */
  maxBytes: number
  checksum?: Checksum
  /** Stores the number of bytes of the draft that are on disk. */
  store(offsetBytes: number): Promise<void>
}

/**
 * Checks that a part fits the state of its upload. **Throws** `upload_offset_mismatch`, `payload_too_large`, or
 * `upload_parts_too_small`.
 */
export function checkPart ({ offsetBytes, sizeBytes, parts }: Upload, part: Part): void {
  if (part.offsetBytes !== offsetBytes) {
    throw new ApiError('upload_offset_mismatch', { extra: { offset_bytes: offsetBytes } })
  }
  if ((part.sizeBytes ?? 0) > sizeBytes - offsetBytes) {
    throw new ApiError('payload_too_large', { detail: 'The part is longer than the rest of the upload.' })
  }
  if (parts > FREE_PARTS && offsetBytes < (parts - FREE_PARTS) * MIN_PART_BYTES) {
    throw new ApiError('upload_parts_too_small')
  }
}

/**
 * Writes one part of an upload to its draft: bytes are synced, and then their number is stored. The bytes of a part
 * that ends early are kept. With a checksum, a part is kept only as a whole. **Throws** `upload_incomplete`,
 * `checksum_mismatch`, `payload_too_large`, `upload_locked`, `storage_full` or `storage_unavailable`.
 */
export async function receivePart (source: Readable, options: PartOptions): Promise<void> {
  const { hold, checksum } = options
  const hash = checksum && createHash(checksum.algorithm)
  const checkpoints = new Checkpoints(options)
  const end = () => {
    source.destroy(new ApiError('upload_incomplete'))
  }
  hold.ended.addEventListener('abort', end, { once: true })
  if (hold.ended.aborted) end()
  let failure: unknown
  try {
    const onWritten = async () => (hash === undefined ? await checkpoints.advance() : undefined)
    await readChunks(source, hash, { ...options, onWritten })
  } catch (error) {
    const isBroken = source.errored !== null && !(error instanceof ApiError)
    failure = isBroken ? new ApiError('upload_incomplete', { cause: error }) : error
  } finally {
    hold.ended.removeEventListener('abort', end)
  }
  if (failure !== undefined && hash !== undefined) throw failure
  if (hash !== undefined && !timingSafeEqual(hash.digest(), checksum!.digest)) throw new ApiError('checksum_mismatch')
  await checkpoints.finish()
  if (failure !== undefined) throw failure
}

async function readChunks (
  source: Readable,
  hash: Hash | undefined,
  { hold, writer, maxBytes, onWritten }: PartOptions & { onWritten(): Promise<void> }
): Promise<void> {
  let bytes = 0
  // The server reads the rest of a refused body, so that the client can read the response.
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) {
      throw new ApiError('payload_too_large', { detail: 'The part is longer than the rest of the upload.' })
    }
    hash?.update(chunk)
    await hold.confirm()
    await writer.write(chunk)
    await onWritten()
  }
}

/** Syncs the draft, and then stores its size. During a part, this happens beside the receipt of further bytes. */
class Checkpoints {
  readonly #options: PartOptions
  #storedBytes: number
  #running: Promise<void> | undefined
  #failure: unknown

  constructor (options: PartOptions) {
    this.#options = options
    this.#storedBytes = options.writer.position
  }

  /** Starts a checkpoint if it is due, and waits if too many bytes are not stored. **Throws** the failure of one. */
  async advance (): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const unstored = this.#options.writer.position - this.#storedBytes
    if (unstored >= CHECKPOINT_BYTES) this.#running ??= this.#start()
    if (unstored >= MAX_UNSTORED_BYTES) await this.#running
  }

  /** Writes, syncs and stores the rest. */
  async finish (): Promise<void> {
    await this.#running
    if (this.#failure !== undefined) throw this.#failure
    await this.#options.hold.confirm()
    await this.#options.writer.flush()
    await this.#run()
  }

  async #start (): Promise<void> {
    try {
      await this.#run()
    } catch (error) {
      this.#failure = error
    } finally {
      this.#running = undefined
    }
  }

  async #run (): Promise<void> {
    const offsetBytes = await this.#options.writer.sync()
    if (offsetBytes === this.#storedBytes) return
    await this.#options.store(offsetBytes)
    this.#storedBytes = offsetBytes
  }
}
