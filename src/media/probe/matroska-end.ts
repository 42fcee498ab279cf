import { KiB, MiB } from '../../bytes.js'
import { bytesAt, type FileView } from '../file-view.js'
import { elementAt, unsignedAt, vintAt } from './matroska-elements.js'

/** How much of the end of a file is searched for its last cluster. */
const TAILS = [256 * KiB, 2 * MiB, 16 * MiB]
const CLUSTER = Buffer.from('1f43b675', 'hex')
const LACING = 0x06
const [TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, BLOCK_DURATION] = [0xe7, 0xa3, 0xa0, 0xa1, 0x9b]
/** Position, PrevSize, Void, CRC-32, ReferenceBlock, BlockAdditions, DiscardPadding, CodecState. */
const SKIPPED = [BLOCK_DURATION, 0xa7, 0xab, 0xec, 0xbf, 0xfb, 0x75a1, 0x75a2, 0xa4]

/** A block of a track: its time, and how many frames it holds. */
interface Block {
  track: number
  time: number
  frames: number
}
/** The last blocks of a track: the latest, the one before, and the duration of the latest if it is known. */
interface LastBlocks {
  latest: Block
  before: Block
  duration: number
}

/**
 * Where the last frame of a Matroska or WebM file ends, in ticks of its TimestampScale, read from its last cluster (RFC
 * 9559, 5.1.3): the Duration in the header is missing in a recording, and can be anything. Undefined if none is found.
 * `frameTicks` is how long a frame is, by track; other tracks do not count, unless it is empty.
 */
export function matroskaEnd (view: FileView, frameTicks: Map<number, number>): number | undefined {
  for (const bytes of TAILS) {
    const tail = bytesAt(view, Math.max(0, view.size - bytes), Math.min(bytes, view.size))
    for (let at = tail.lastIndexOf(CLUSTER); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(CLUSTER, at - 1)) {
      const end = clusterEnd(tail, at, frameTicks)
      if (end !== undefined) return end
    }
    if (bytes >= view.size) return undefined
  }
  return undefined
}

function clusterEnd (tail: Buffer, at: number, frameTicks: Map<number, number>): number | undefined {
  const tracks = new Map<number, LastBlocks>()
  let timestamp: number | undefined
  let latest: LastBlocks | undefined
  const cluster = elementAt(tail, at)
  if (cluster === undefined) return undefined
  for (let position = cluster.start; position < tail.length;) {
    const element = elementAt(tail, position)
    if (element === undefined) break
    const { id, start, size } = element
    if (id === TIMESTAMP) timestamp = unsignedAt(tail, start, size)
    else if (id === BLOCK_DURATION && latest) latest.duration = unsignedAt(tail, start, size) ?? 0
    else if (id === SIMPLE_BLOCK || id === BLOCK) latest = addBlock(tracks, playedBlock(tail, start, frameTicks))
    else if (id !== BLOCK_GROUP && !SKIPPED.includes(id)) break
    position = id === BLOCK_GROUP ? start : start + size
  }
  if (timestamp === undefined || tracks.size === 0) return undefined
  return timestamp + Math.max(...[...tracks.values()].map((blocks) => endOf(blocks, frameTicks)))
}

/** Without a duration, the frames of the latest block are as long as those of the block before. */
function endOf ({ latest, before, duration }: LastBlocks, frameTicks: Map<number, number>): number {
  const ticks = frameTicks.get(latest.track) || (latest.time - before.time) / before.frames
  return latest.time + (duration || ticks * latest.frames)
}

/** RFC 9559, 10.1: a track, a time of 16 bits, and flags; two of them say that several frames are laced. */
function blockAt (tail: Buffer, start: number): Block | undefined {
  const number = vintAt(tail, start)
  const at = start + (number?.length ?? 0)
  if (number === undefined || at + 4 > tail.length) return undefined
  const isLaced = (tail[at + 2]! & LACING) !== 0
  return { track: number.value, time: tail.readInt16BE(at), frames: isLaced ? tail[at + 3]! + 1 : 1 }
}

/** Subtitles have long gaps, and do not make a film longer. */
function playedBlock (tail: Buffer, start: number, frameTicks: Map<number, number>): Block | undefined {
  const block = blockAt(tail, start)
  return block === undefined || (frameTicks.size > 0 && !frameTicks.has(block.track)) ? undefined : block
}

function addBlock (tracks: Map<number, LastBlocks>, block: Block | undefined): LastBlocks | undefined {
  if (block === undefined) return undefined
  const blocks = tracks.get(block.track)
  if (blocks === undefined) {
    const first = { latest: block, before: block, duration: 0 }
    tracks.set(block.track, first)
    return first
  }
  if (block.time > blocks.latest.time) {
    Object.assign(blocks, { before: blocks.latest, latest: block, duration: 0 })
    return blocks
  }
  // Pictures are stored in the order of their decoding.
  const isBefore = blocks.before === blocks.latest || block.time > blocks.before.time
  if (isBefore && block.time < blocks.latest.time) blocks.before = block
  return undefined
}
