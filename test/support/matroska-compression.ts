import { deflateSync } from 'node:zlib'

/** An EBML element (RFC 8794): its id, and its children or its content. */
interface Element {
  id: number
  content: Buffer
}
/** Compresses the frames of one track: by zlib, or by leaving out bytes with which each of them begins. */
export type Compression = 'zlib' | 'header stripping'

const IDS = {
  segment: 0x18538067,
  seekHead: 0x114d9b74,
  cues: 0x1c53bb6b,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  encodings: 0x6d80,
  encoding: 0x6240,
  compression: 0x5034,
  algorithm: 0x4254,
  settings: 0x4255,
  cluster: 0x1f43b675,
  simpleBlock: 0xa3
}
/** Track number, time and flags. */
const BLOCK_HEADER_BYTES = 4
/** The length of an H.264 unit of less than 64 KiB begins so. */
const STRIPPED = Buffer.of(0, 0)
const ALGORITHMS: Record<Compression, number> = { zlib: 0, 'header stripping': 3 }

/**
 * Compresses a track of a Matroska file (RFC 9559, 5.1.4.1.31), as mkvmerge does. The index is left out, because its
 * positions would be wrong. Throws if a frame does not begin with the bytes to strip.
 */
export function withCompression (file: Buffer, track: number, compression: Compression): Buffer {
  const declared = element(
    IDS.encodings,
    element(
      IDS.encoding,
      element(
        IDS.compression,
        element(IDS.algorithm, Buffer.of(ALGORITHMS[compression])),
        ...(compression === 'zlib' ? [] : [element(IDS.settings, STRIPPED)])
      )
    )
  )
  return change(file, ({ id, content }, parent) => {
    if (id === IDS.seekHead || id === IDS.cues) return undefined
    if (id === IDS.trackEntry && numberOf(content) === track) return Buffer.concat([content, declared])
    if (id !== IDS.simpleBlock || parent !== IDS.cluster || (content[0]! & 0x7f) !== track) return content
    return Buffer.concat([content.subarray(0, BLOCK_HEADER_BYTES), packed(content.subarray(4), compression)])
  })
}

function packed (frame: Buffer, compression: Compression): Buffer {
  if (compression === 'zlib') return deflateSync(frame)
  if (!frame.subarray(0, STRIPPED.length).equals(STRIPPED)) throw new Error('a frame begins with other bytes')
  return frame.subarray(STRIPPED.length)
}

type Changed = (element: Element, parent: number) => Buffer | undefined

/** Changes the content of elements, parents before children. An element without content is left out. */
function change (bytes: Buffer, changed: Changed, parent = 0): Buffer {
  const parents = [IDS.segment, IDS.tracks, IDS.cluster]
  return Buffer.concat(
    elementsOf(bytes).flatMap((each) => {
      const content = changed(each, parent)
      if (content === undefined) return []
      return [element(each.id, parents.includes(each.id) ? change(content, changed, each.id) : content)]
    })
  )
}

function numberOf (trackEntry: Buffer): number {
  return elementsOf(trackEntry).find(({ id }) => id === IDS.trackNumber)!.content.readUIntBE(0, 1)
}

function elementsOf (bytes: Buffer): Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length;) {
    const idBytes = Math.clz32(bytes[at]!) - 23
    const id = bytes.readUIntBE(at, idBytes)
    at += idBytes
    const sizeBytes = Math.clz32(bytes[at]!) - 23
    const first = bytes[at]! & (0xff >> sizeBytes)
    const size = bytes.subarray(at + 1, at + sizeBytes).reduce((sum, byte) => sum * 256 + byte, first)
    at += sizeBytes
    elements.push({ id, content: bytes.subarray(at, at + size) })
    at += size
  }
  return elements
}

function element (id: number, ...content: Buffer[]): Buffer {
  const idBytes = Math.ceil((32 - Math.clz32(id)) / 8)
  const header = Buffer.alloc(idBytes + 8)
  header.writeUIntBE(id, 0, idBytes)
  header[idBytes] = 1
  header.writeUIntBE(content.reduce((sum, { length }) => sum + length, 0), idBytes + 2, 6)
  return Buffer.concat([header, ...content])
}
