import { performance } from 'node:perf_hooks'
import { Readable, type Writable } from 'node:stream'
import { KiB } from '../bytes.js'
import type { ReadableFile } from '../storage/open-files.js'
import { BlockPool } from './block-pool.js'
import type { ByteRange } from './byte-range.js'

/** 256 KiB cost half of what Node's 64 do, and 200 slow readers take 59 MB. */
const blocks = new BlockPool(256 * KiB, { maxIdle: 64 })
/**
 * Readers that keep up get 4 MiB: each block is a trip to a thread and back, and waking threads is most of a stream's
 * cost (docs/performance.md). Few enough at a time that memory stays bounded.
 */
const largeBlocks = new BlockPool(4096 * KiB, { maxIdle: 4, maxTaken: 8 })
/** A reader keeps up while it takes a block in this time: 10 Mbit/s at 256 KiB. */
const PROMPT_MS = 200
/**
 * Blocks to take promptly before it gets large ones: 16 MiB, more than the buffers of a socket swallow for a reader
 * that does not read.
 */
const PROMPT_BLOCKS = 64

/**
 * A range of a file as a stream with one buffer at a time, which is filled again, or changed for another, only after
 * the sink has passed on what was in it.
 *
 * That holds because `pipe` asks for more only once the sink has drained, each chunk but the last is larger than the
 * sink's own buffer, and nothing is read ahead (`highWaterMark: 0`). The buffer goes back to the pool only when the
 * sink is closed and no read is under way, since until then the kernel may still be handed its bytes. The handle is
 * closed with the stream.
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

  /** `onBlock` is called after each block, when the sink has passed on all blocks before it. */
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

  /** Read so far, and handed on but for the last block. */
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
   * Larger while the reader keeps up, and small again as soon as it does not. Only between two blocks: nobody holds the
   * buffer then.
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
    // A response uncorks its socket in the next tick: the kernel then has what it takes of this block at once.
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
    // A sink that closed early leaves the stream to be destroyed; a read may still be writing into the buffer.
    this.destroy()
    const pool = this.#pool
    Promise.resolve(this.#reading).then(() => pool.give(buffer))
  }
}
