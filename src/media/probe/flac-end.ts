import { KiB } from '../../bytes.js'
import { bytesAt, type FileView } from '../file-view.js'

/** A frame by its first sample and the number of its samples. */
interface Frame {
  first: number
  samples: number
}

/** Several of the largest frames that encoders make. */
const TAIL_BYTES = 512 * KiB
/** The header of a frame has at most 16 bytes. A last frame of silence may be shorter. */
const PADDING = Buffer.alloc(16)

/** What the end of a FLAC file says. */
export interface FlacFacts {
  /** Where its last frame ends. Undefined if no frame is found. */
  seconds: number | undefined
  /** Samples that the header counts are missing, or the last frame is not whole. */
  isTruncated: boolean
}

/**
 * Reads the last frame of a FLAC file (RFC 9639, 9.1): a recorder that streams does not know the number of samples in
 * the header. Returns undefined for a file that is no FLAC.
 */
export function readFlacFacts (view: FileView): FlacFacts | undefined {
  const head = bytesAt(view, 0, 42)
  if (head.length < 42 || head.toString('latin1', 0, 4) !== 'fLaC') return undefined
  const rate = head.readUIntBE(18, 3) >> 4
  const counted = (head[21]! & 0x0f) * 2 ** 32 + head.readUInt32BE(22)
  const tail = bytesAt(view, Math.max(0, view.size - TAIL_BYTES), Math.min(TAIL_BYTES, view.size))
  const last = lastFrame(Buffer.concat([tail, PADDING]), head.readUInt16BE(10))
  if (last === undefined || rate === 0) return { seconds: undefined, isTruncated: false }
  const end = last.first + last.samples
  return { seconds: end / rate, isTruncated: counted > 0 && (end < counted || !isWholeFrame(tail.subarray(last.at))) }
}

/** `blockSamples` is the size of the blocks in the header. */
function lastFrame (tail: Buffer, blockSamples: number): (Frame & { at: number }) | undefined {
  let last: (Frame & { at: number }) | undefined
  for (let at = tail.lastIndexOf(0xff); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(0xff, at - 1)) {
    const frame = frameAt(tail, at, blockSamples)
    if (frame === undefined) continue
    // A checksum of 8 bits is no proof: the frame before it must end where it begins.
    if (last !== undefined && frame.first + frame.samples === last.first) return last
    last = { ...frame, at }
    if (frame.first === 0) return last
  }
  return undefined
}

/** A frame ends in a checksum of 16 bits (polynomial x^16 + x^15 + x^2 + 1), and tags may follow. */
function isWholeFrame (bytes: Buffer): boolean {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x8000 ? 0x18005 : 0)
    if (crc === 0) return true
  }
  return false
}

function frameAt (bytes: Buffer, at: number, blockSamples: number): Frame | undefined {
  if (at + 16 > bytes.length || (bytes[at + 1]! & 0xfe) !== 0xf8 || (bytes[at + 3]! & 1) !== 0) return undefined
  const [sizeCode, rateCode] = [bytes[at + 2]! >> 4, bytes[at + 2]! & 0x0f]
  const number = codedNumber(bytes, at + 4)
  if (number === undefined || sizeCode === 0 || rateCode === 15) return undefined
  const sizeAt = at + 4 + number.length
  const sizeBytes = sizeCode === 6 ? 1 : sizeCode === 7 ? 2 : 0
  const rateBytes = rateCode === 12 ? 1 : rateCode > 12 ? 2 : 0
  const end = sizeAt + sizeBytes + rateBytes
  if (end >= bytes.length || crc8(bytes.subarray(at, end)) !== bytes[end]) return undefined
  const samples = sizeBytes > 0 ? bytes.readUIntBE(sizeAt, sizeBytes) + 1 : samplesOf(sizeCode)
  // With a fixed size of blocks frames are counted, else samples.
  return { first: bytes[at + 1] === 0xf8 ? number.value * blockSamples : number.value, samples }
}

function samplesOf (code: number): number {
  if (code === 1) return 192
  return code < 6 ? 576 << (code - 2) : 256 << (code - 8)
}

/** As UTF-8 codes a character, up to 36 bits. */
function codedNumber (bytes: Buffer, at: number): { value: number; length: number } | undefined {
  const first = bytes[at]!
  if (first < 0x80) return { value: first, length: 1 }
  const length = Math.clz32(~(first << 24))
  if (length < 2 || length > 7) return undefined
  let value = first & (0x7f >> length)
  for (let i = 1; i < length; i++) {
    if ((bytes[at + i]! & 0xc0) !== 0x80) return undefined
    value = value * 64 + (bytes[at + i]! & 0x3f)
  }
  return { value, length }
}

/** Polynomial x^8 + x^2 + x + 1. */
function crc8 (bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x80 ? 0x107 : 0)
  }
  return crc
}
