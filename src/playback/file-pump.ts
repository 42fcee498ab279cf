import { performance } from 'node:perf_hooks'
import { Readable, type Writable } from 'node:stream'
import { KiB } from '../bytes.js'
import type { ReadableFile } from '../storage/open-files.js'
import { BlockPool } from './block-pool.js'
import type { ByteRange } from './byte-range.js'

/** Blocks of 256 KiB cost half as much as Node's 64 KiB, and 200 slow readers use 59 MB. */
const blocks = new BlockPool(256 * KiB, { maxIdle: 64 })
/**
 * Fast readers get blocks of 4 MiB. Each block needs a thread of the pool, and waking threads is most of the cost of a
 * stream (docs/performance.md). The number of large blocks is limited, so that memory stays bounded.
 */
const largeBlocks = new BlockPool(4096 * KiB, { maxIdle: 4, maxTaken: 8 })
/** A reader is fast if it receives each block within this time: 10 Mbit/s at 256 KiB. */
const PROMPT_MS = 200
/**
 * A reader gets large blocks after this number of fast blocks. They are 16 MiB, more than the buffers of a socket hold
 * for a client that does not read.
 */
const PROMPT_BLOCKS = 64

/**
 * Streams a range of a file through one buffer at a time. The buffer is filled again or replaced only after the sink
 * has passed on its content.
 *
 * Three facts ensure this. `pipe` requests more only after the sink has drained. Each chunk except the last is larger
 * than the buffer of the sink. `highWaterMark: 0` prevents reading ahead. The buffer returns to the pool after the sink
 * is closed and no read is running. Until then, the kernel may still receive its bytes. Destroying the stream closes
 * the handle.
 */
export class FilePump extends Readable {
  readonly #file: ReadableFile
  readonly #onBlock: () => void
  readonly #start: number
  readonly #end: number
  #position: number
  #buffer: Buffer | undefined
  #pool = blocks
  #pushedAt = 0
  #promptBlocks = 0
  #reading: Promise<void> | undefined

  /** Calls `onBlock` after each block, when the sink has passed on all earlier blocks. */
  constructor (file: ReadableFile, { start, end }: ByteRange, sink: Writable, { onBlock = () => {} } = {}) {
    super({ highWaterMark: 0 })
    this.#file = file
    this.#onBlock = onBlock
    this.#start = start
    this.#position = start
    this.#end = end
    this.#buffer = blocks.take()
    if (sink.closed) this.#release()
    else sink.once('close', () => this.#release())
  }

  /** The number of bytes read. The sink has passed on all of them except the last block. */
  get pumpedBytes (): number {
    return this.#position - this.#start
  }

  override _read (): void {
    if (this.#position > this.#end) {
      this.push(null)
      return
    }
    this.#fitBuffer()
    this.#reading = this.#fill()
  }

  /**
   * Uses large blocks while the reader is fast, and small blocks as soon as it is slow. Called only between two blocks,
   * when the buffer is not in use.
   */
  #fitBuffer (): void {
    if (this.#buffer === undefined || this.#pushedAt === 0) return
    this.#promptBlocks = performance.now() - this.#pushedAt < PROMPT_MS ? this.#promptBlocks + 1 : 0
    const pool = this.#promptBlocks >= PROMPT_BLOCKS ? largeBlocks : blocks
    const other = pool === this.#pool ? undefined : pool.take()
    if (other === undefined) return
    this.#pool.give(this.#buffer)
    this.#pool = pool
    this.#buffer = other
  }

  async #fill (): Promise<void> {
    const buffer = this.#buffer
    if (buffer === undefined) return
    const wanted = Math.min(buffer.length, this.#end - this.#position + 1)
    let filled = 0
    try {
      while (filled < wanted) {
        const { bytesRead } = await this.#file.read(buffer, filled, wanted - filled, this.#position + filled)
        if (bytesRead === 0) throw new Error('the file is shorter than its row says')
        filled += bytesRead
      }
    } catch (error) {
      this.#reading = undefined
      this.destroy(error as Error)
      return
    }
    this.#reading = undefined
    this.#position += filled
    this.#pushedAt = performance.now()
    if (this.destroyed) return
    this.push(buffer.subarray(0, filled))
    // A response uncorks its socket in the next tick. The kernel then has the part of this block that it accepts at
    // once.
    process.nextTick(this.#onBlock)
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    Promise.resolve(this.#reading)
      .then(() => this.#file.close())
      .then(() => callback(error), callback)
  }

  #release (): void {
    const buffer = this.#buffer
    if (buffer === undefined) return
    this.#buffer = undefined
    // A sink that closes early does not destroy this stream. A read may still be writing into the buffer.
    this.destroy()
    const pool = this.#pool
    Promise.resolve(this.#reading).then(() => pool.give(buffer))
  }
}
