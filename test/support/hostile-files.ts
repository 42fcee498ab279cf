import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'

const MiB = 1024 * 1024

function repeat (part: Buffer, times: number): Buffer {
  return Buffer.concat(Array<Buffer>(Math.floor(times)).fill(part))
}

// ISO base media and QuickTime boxes.

export function box (type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([u32(8 + body.length), Buffer.from(type, 'latin1'), body])
}

export function u32 (value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const QUICKTIME = box('ftyp', Buffer.from('qt  '), u32(0x200), Buffer.from('qt  '))

/** A compressed header (cmov) of 1.04 MB that claims and holds 1 GiB. */
export function compressedHeader (bytes = 1024 * MiB): Buffer {
  const content = deflateSync(Buffer.alloc(bytes), { level: 9 })
  const compressed = box('cmov', box('dcom', Buffer.from('zlib')), box('cmvd', u32(bytes), content))
  return Buffer.concat([QUICKTIME, box('moov', compressed)])
}

/** As many tracks as fit; each is the smallest that the parser makes a stream of. The first has a sample. */
export function manyTracks (bytes: number): Buffer {
  const handler = box('hdlr', u32(0), Buffer.from('mhlrsoun'), Buffer.alloc(12))
  const track = box('trak', box('mdia', handler))
  const sample = box('minf', box('stbl', box('stsz', u32(0), u32(4), u32(1))))
  const first = box('trak', box('mdia', handler, sample))
  return Buffer.concat([QUICKTIME, box('moov', first, repeat(track, bytes / track.length))])
}

/** Boxes in boxes, 100,000 deep. */
export function deepBoxes (type: string, depth = 100_000): Buffer {
  const bytes = Buffer.alloc(8 * depth)
  for (let i = 0; i < depth; i++) {
    bytes.writeUInt32BE(8 * (depth - i), 8 * i)
    bytes.write(type, 8 * i + 4, 'latin1')
  }
  return Buffer.concat([QUICKTIME, type === 'moov' ? bytes : box('moov', bytes)])
}

/** A track with a sample table that claims 2^32 entries and holds `entries`. */
export function sampleTables (entries: number): Buffer {
  const handler = box('hdlr', u32(0), Buffer.from('mhlrvide'), Buffer.alloc(12))
  const header = box('mdhd', u32(0), u32(0), u32(0), u32(1000), u32(1_000_000), u32(0))
  const filled = (type: string, size: number, ...head: Buffer[]) =>
    box(type, u32(0), ...head, u32(0xffffffff), Buffer.alloc(size * entries, 1))
  const times = Buffer.concat([filled('stts', 8), filled('ctts', 8)])
  const table = box('stbl', times, filled('stsz', 4, u32(0)), filled('stsc', 12), filled('stco', 4))
  return Buffer.concat([QUICKTIME, box('moov', box('trak', box('mdia', header, handler, box('minf', table))))])
}

/** User data: thousands of small text fields. */
export function manyTexts (count = 200_000): Buffer {
  const text = box('\xa9nam', Buffer.from([0, 4, 0, 0]), Buffer.from('text'))
  return Buffer.concat([QUICKTIME, box('moov', box('udta', repeat(text, count)))])
}

// Cover pictures.

/** An ID3v2.3 tag with one picture of `bytes` bytes, before `sound`. */
export function id3Picture (sound: Buffer, bytes: number): Buffer {
  const picture = Buffer.concat([Buffer.from('\0image/jpeg\0\x03\0', 'latin1'), jpeg(bytes)])
  return id3Tag(sound, [Buffer.from('APIC'), u32(picture.length), Buffer.alloc(2), picture])
}

/** An ID3v2.3 tag of 100,000 text frames, before `sound`. */
export function id3Frames (sound: Buffer, count = 100_000): Buffer {
  const frame = Buffer.concat([Buffer.from('TXXX'), u32(8), Buffer.alloc(2), Buffer.from('\0key\0val', 'latin1')])
  return id3Tag(sound, [repeat(frame, count)])
}

function id3Tag (sound: Buffer, frames: Buffer[]): Buffer {
  const body = Buffer.concat(frames)
  const size = Buffer.from([21, 14, 7, 0].map((shift) => (body.length >> shift) & 0x7f))
  return Buffer.concat([Buffer.from('ID3\x03\0\0', 'latin1'), size, body, sound])
}

/** A FLAC file with pictures of `bytes` bytes each. */
export function flacPictures (flac: Buffer, bytes: number, count = 1): Buffer {
  const content = jpeg(bytes)
  const [type, mediaType, noText] = [u32(3), Buffer.from('image/jpeg'), u32(0)]
  const size = [u32(600), u32(600), u32(24), u32(0), u32(bytes)]
  const body = Buffer.concat([type, u32(10), mediaType, noText, ...size, content])
  const head = Buffer.from([6, body.length >> 16, (body.length >> 8) & 255, body.length & 255])
  const picture = Buffer.concat([head, body])
  // After STREAMINFO, which is 34 bytes and stands first (RFC 9639, 8.1).
  return Buffer.concat([flac.subarray(0, 42), repeat(picture, count), flac.subarray(42)])
}

/** An MP4 file (its header last, so that no offset moves) with a cover picture of `bytes` bytes. */
export function mp4Picture (mp4: Buffer, bytes: number): Buffer {
  const cover = box('covr', box('data', u32(13), u32(0), jpeg(bytes)))
  const handler = box('hdlr', u32(0), u32(0), Buffer.from('mdirappl'), Buffer.alloc(9))
  const user = box('udta', box('meta', u32(0), handler, box('ilst', cover)))
  const at = mp4.indexOf('moov') - 4
  const moov = mp4.subarray(at, at + mp4.readUInt32BE(at))
  const before = Buffer.from(mp4)
  before.write('free', at + 4, 'latin1')
  return Buffer.concat([before, box('moov', moov.subarray(8), user)])
}

function jpeg (bytes: number): Buffer {
  return Buffer.concat([Buffer.from('ffd8ffe000104a46494600010100000100010000', 'hex'), randomBytes(bytes - 20)])
}

// EBML (Matroska, WebM).

/** An EBML element with a size of eight bytes. */
export function element (id: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(body.length) | (1n << 56n))
  return Buffer.concat([Buffer.from(id, 'hex'), size, body])
}

const EBML = element('1a45dfa3', element('4282', Buffer.from('matroska')))

/** A Matroska file of many tracks, tags, chapters or cues. */
export function manyElements (parent: string, child: Buffer, bytes: number): Buffer {
  return Buffer.concat([EBML, element('18538067', element(parent, repeat(child, bytes / child.length)))])
}

export const matroskaTrack = element('ae', element('d7', Buffer.from([1])), element('83', Buffer.from([1])))
const simpleTag = element('67c8', element('45a3', Buffer.from('A')), element('4487', Buffer.from('B')))
export const matroskaTag = element('7373', simpleTag)

/** Tags in tags, 50,000 deep. */
export function deepElements (depth = 50_000): Buffer {
  const bytes = Buffer.alloc(10 * depth)
  for (let i = 0; i < depth; i++) {
    bytes.write('67c8', 10 * i, 'hex')
    bytes.writeBigUInt64BE(BigInt(10 * (depth - i - 1)) | (1n << 56n), 10 * i + 2)
  }
  return Buffer.concat([EBML, element('18538067', element('1254c367', element('7373', bytes)))])
}

/** An element that claims 2^56 - 2 bytes. */
export function endlessElement (): Buffer {
  const endless = '01fffffffffffffe'
  const heads = Buffer.from(`18538067${endless}1654ae6b${endless}ae${endless}`, 'hex')
  return Buffer.concat([EBML, heads, Buffer.alloc(MiB, 0xae)])
}

/** A Matroska file with a picture attached. */
export function matroskaPicture (matroska: Buffer, bytes: number): Buffer {
  const name = element('466e', Buffer.from('cover.jpg'))
  const mediaType = element('4660', Buffer.from('image/jpeg'))
  const fields = [name, mediaType, element('46ae', Buffer.from([1])), element('465c', jpeg(bytes))]
  const attachments = element('1941a469', element('61a7', ...fields))
  return Buffer.concat([matroska, attachments])
}

// Ogg.

/** Pages without content, each of a logical stream of its own. */
export function oggPages (bytes: number): Buffer {
  const pages: Buffer[] = []
  for (let i = 0; i < bytes / 28; i++) {
    const page = Buffer.alloc(28)
    page.write('OggS')
    page[5] = 2
    page.writeUInt32LE(i, 14)
    page[26] = 1
    pages.push(page)
  }
  return Buffer.concat(pages)
}

// RIFF.

/** A WAV file with an ID3 tag that holds a picture, before its sound. */
export function wavePicture (wave: Buffer, bytes: number): Buffer {
  const tag = id3Picture(Buffer.alloc(bytes % 2), bytes)
  const head = Buffer.from('RIFF\0\0\0\0WAVEid3 \0\0\0\0', 'latin1')
  head.writeUInt32LE(4 + 8 + tag.length + wave.length - 12, 4)
  head.writeUInt32LE(tag.length, 16)
  return Buffer.concat([head, tag, wave.subarray(12)])
}

/** LISTs in LISTs. */
export function deepLists (depth = 50_000): Buffer {
  const bytes = Buffer.alloc(12 * depth)
  for (let i = 0; i < depth; i++) {
    bytes.write(i === 0 ? 'RIFF' : 'LIST', 12 * i)
    bytes.writeUInt32LE(12 * (depth - i) - 8, 12 * i + 4)
    bytes.write(i === 0 ? 'AVI ' : 'hdrl', 12 * i + 8)
  }
  return bytes
}

/** An AVI header with as many streams as fit. */
export function manyStreams (bytes: number): Buffer {
  const header = Buffer.alloc(64)
  header.write('strh')
  header.writeUInt32LE(56, 4)
  header.write('vidsH264', 8)
  const list = (type: string, content: Buffer) => {
    const head = Buffer.alloc(12)
    head.write('LIST')
    head.writeUInt32LE(4 + content.length, 4)
    head.write(type, 8)
    return Buffer.concat([head, content])
  }
  const stream = list('strl', header)
  const content = list('hdrl', repeat(stream, bytes / stream.length))
  const head = Buffer.from('RIFF\0\0\0\0AVI ', 'latin1')
  head.writeUInt32LE(4 + content.length, 4)
  return Buffer.concat([head, content])
}
