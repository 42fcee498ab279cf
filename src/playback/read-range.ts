import type { Writable } from 'node:stream'
import type { ReadableFile } from '../storage/open-files.js'
import { BlockPool } from './block-pool.js'
import type { ByteRange } from './byte-range.js'

/** Up to this size a range is read whole: a stream around one block costs more than the block. */
export const SMALL_RANGE_BYTES = 64 * 1024
const blocks = new BlockPool(SMALL_RANGE_BYTES, { maxIdle: 128 })

/**
 * A small range of a file, in a buffer that is used again once the sink is closed. The file is closed, whatever
 * happens.
 */
export async function readRange (file: ReadableFile, { start, end }: ByteRange, sink: Writable): Promise<Buffer> {
  const block = blocks.take()!
  try {
    const wanted = end - start + 1
    for (let filled = 0; filled < wanted;) {
      const { bytesRead } = await file.read(block, filled, wanted - filled, start + filled)
      if (bytesRead === 0) throw new Error('the file is shorter than its row says')
      filled += bytesRead
    }
    // Until then the kernel may still be handed its bytes.
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
