import { KiB, MiB } from '../../bytes.js'
import { bytesAt, type FileView } from '../file-view.js'

/** How much of the end of a file is searched for its last cluster. */
const TAILS = [256 * KiB, 2 * MiB, 16 * MiB]
const CLUSTER = Buffer.from('1f43b675', 'hex')
const [TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, BLOCK_DURATION] = [0xe7, 0xa3, 0xa0, 0xa1, 0x9b]
/** Position, PrevSize, Void, CRC-32, ReferenceBlock, BlockAdditions, DiscardPadding, CodecState. */
const SKIPPED = [0xa7, 0xab, 0xec, 0xbf, 0xfb, 0x75a1, 0x75a2, 0xa4]

interface Element {
  id: number
  start: number
  /** Infinity if unknown. */
  size: number
}
/** The times of a track's last frames: the latest, the one before, and the duration of the latest if it is known. */
interface LastFrames {
  latest: number
  before: number
  duration: number
}

/**
 * Where the last frame of a Matroska or WebM file ends, in ticks of its TimestampScale, read from its last cluster (RFC
 * 9559, 5.1.3): the Duration in the header is missing in a recording, and can be anything. Undefined if none is found.
 */
export function matroskaEnd (view: FileView): number | undefined {
  for (const bytes of TAILS) {
    const tail = bytesAt(view, Math.max(0, view.size - bytes), Math.min(bytes, view.size))
    for (let at = tail.lastIndexOf(CLUSTER); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(CLUSTER, at - 1)) {
      const end = clusterEnd(tail, at)
      if (end !== undefined) return end
    }
    if (bytes >= view.size) return undefined
  }
  return undefined
}

function clusterEnd (tail: Buffer, at: number): number | undefined {
  const tracks = new Map<number, LastFrames>()
  let timestamp: number | undefined
  let latest: LastFrames | undefined
  const cluster = elementAt(tail, at)
  if (cluster === undefined) return undefined
  for (let position = cluster.start; position < tail.length;) {
    const element = elementAt(tail, position)
    if (element === undefined) break
    const { id, start, size } = element
    if (id === TIMESTAMP) timestamp = unsignedAt(tail, start, size)
    else if (id === BLOCK_DURATION && latest) latest.duration = unsignedAt(tail, start, size) ?? 0
    else if (id === SIMPLE_BLOCK || id === BLOCK) latest = addBlock(tracks, tail, start)
    else if (id !== BLOCK_GROUP && !SKIPPED.includes(id)) break
    position = id === BLOCK_GROUP ? start : start + size
  }
  if (timestamp === undefined || tracks.size === 0) return undefined
  const ends = [...tracks.values()].map(({ latest, before, duration }) => latest + (duration || latest - before))
  return timestamp + Math.max(...ends)
}

function addBlock (tracks: Map<number, LastFrames>, tail: Buffer, start: number): LastFrames | undefined {
  const number = vintAt(tail, start)
  const at = start + (number?.length ?? 0)
  if (number === undefined || at + 2 > tail.length) return undefined
  const time = tail.readInt16BE(at)
  const frames = tracks.get(number.value) ?? { latest: time, before: time, duration: 0 }
  tracks.set(number.value, frames)
  if (time <= frames.latest) frames.before = Math.max(frames.before === frames.latest ? time : frames.before, time)
  else Object.assign(frames, { before: frames.latest, latest: time, duration: 0 })
  return time === frames.latest ? frames : undefined
}

/** The head of an EBML element (RFC 8794, 4 to 6). */
function elementAt (bytes: Buffer, position: number): Element | undefined {
  const idLength = Math.clz32(bytes[position] ?? 0) - 23
  if (idLength > 4 || position + idLength >= bytes.length) return undefined
  const size = vintAt(bytes, position + idLength)
  if (size === undefined) return undefined
  const start = position + idLength + size.length
  return { id: bytes.readUIntBE(position, idLength), start, size: size.value }
}

function vintAt (bytes: Buffer, position: number): { value: number; length: number } | undefined {
  const length = Math.clz32(bytes[position] ?? 0) - 23
  if (length > 8 || position + length > bytes.length) return undefined
  let value = bytes[position]! & (0xff >> length)
  let isUnknown = value === 0xff >> length
  for (let i = 1; i < length; i++) {
    value = value * 256 + bytes[position + i]!
    isUnknown &&= bytes[position + i] === 0xff
  }
  return { value: isUnknown ? Infinity : value, length }
}

function unsignedAt (bytes: Buffer, start: number, size: number): number | undefined {
  if (size > 6 || size < 1 || start + size > bytes.length) return undefined
  return bytes.readUIntBE(start, size)
}
