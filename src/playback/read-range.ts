import type { Writable } from 'node:stream'
import type { ReadableFile } from '../storage/open-files.js'
import { BlockPool } from './block-pool.js'
import type { ByteRange } from './byte-range.js'

/** A range of at most this size is read at once, because a stream costs more than reading one block. */
export const SMALL_RANGE_BYTES = 64 * 1024
const blocks = new BlockPool(SMALL_RANGE_BYTES, { maxIdle: 128 })

/** Returns a small range of a file, in a buffer that is reused after the sink is closed. It always closes the file. */
export async function readRange (file: ReadableFile, { start, end }: ByteRange, sink: Writable): Promise<Buffer> {
  const block = blocks.take()!
  try {
    const wanted = end - start + 1
    for (let filled = 0; filled < wanted;) {
      const { bytesRead } = await file.read(block, filled, wanted - filled, start + filled)
      if (bytesRead === 0) throw new Error('the file is shorter than its row says')
      filled += bytesRead
    }
    // Until the sink is closed, the kernel may still receive the bytes of the block.
    if (sink.closed) blocks.give(block)
    else sink.once('close', () => blocks.give(block))
    return block.subarray(0, wanted)
  } catch (error) {
    blocks.give(block)
    throw error
  } finally {
    await file.close()
  }
}
