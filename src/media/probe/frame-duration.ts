import { KiB, MiB } from '../../bytes.js'
import type { FileView } from '../file-view.js'

interface FrameHeader {
  bytes: number
  seconds: number
}
/** Reads the header of a frame at an index; undefined where none is. */
export type HeaderReader = (block: Buffer, i: number) => FrameHeader | undefined

/** Enough for the header of a frame, or of a tag. */
const HEADER_BYTES = 16
/** Of a frame, and of the tags ID3, TAG and APETAGEX. */
const FIRST_BYTES = new Set([0xff, ...Buffer.from('ITA')])
const BLOCK_BYTES = 256 * KiB
/** A file with more of it than of frames is something else. */
const MAX_JUNK_BYTES = MiB

/** Samples a second by the header's sampling_frequency_index (ISO/IEC 14496-3, table 1.18). */
const AAC_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350
]
const AAC_SAMPLES = 1024
const AAC_HEADER_BYTES = 7
const MP3_RATES = [44_100, 48_000, 32_000]
/** Kilobits a second of layer III: of MPEG 1, and of MPEG 2 and 2.5 (ISO/IEC 11172-3, 2.4.2.3; 13818-3, 2.4.2.3). */
const MPEG1_KILOBITS = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
const MPEG2_KILOBITS = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]

/** ADTS, the frames of raw AAC (ISO/IEC 13818-7, 6.2). */
export function adtsHeader (block: Buffer, i: number): FrameHeader | undefined {
  if (block[i] !== 0xff || (block[i + 1]! & 0xf6) !== 0xf0) return undefined
  const rate = AAC_RATES[(block[i + 2]! >> 2) & 0x0f]
  const bytes = ((block[i + 3]! & 0x03) << 11) | (block[i + 4]! << 3) | (block[i + 5]! >> 5)
  if (rate === undefined || bytes < AAC_HEADER_BYTES) return undefined
  return { bytes, seconds: (AAC_SAMPLES * ((block[i + 6]! & 0x03) + 1)) / rate }
}

/** MPEG audio of layer III (ISO/IEC 11172-3, 2.4.1.3), with the half rates of MPEG 2 and the quarter rates of 2.5. */
export function mp3Header (block: Buffer, i: number): FrameHeader | undefined {
  const [version, layer] = [(block[i + 1]! >> 3) & 3, (block[i + 1]! >> 1) & 3]
  if (block[i] !== 0xff || block[i + 1]! < 0xe0 || version === 1 || layer !== 1) return undefined
  const isMpeg1 = version === 3
  const kilobits = (isMpeg1 ? MPEG1_KILOBITS : MPEG2_KILOBITS)[block[i + 2]! >> 4]
  const fullRate = MP3_RATES[(block[i + 2]! >> 2) & 3]
  if (!kilobits || fullRate === undefined) return undefined
  const rate = fullRate / (isMpeg1 ? 1 : version === 2 ? 2 : 4)
  const samples = isMpeg1 ? 1152 : 576
  return { bytes: Math.floor((samples * 125 * kilobits) / rate) + ((block[i + 2]! >> 1) & 1), seconds: samples / rate }
}

/**
 * The length in milliseconds of sound that is frames in a row, by walking their headers: no header tells it reliably.
 * Skips tags and junk, in front and between, and finds the next frame. Returns null if there are no frames, or more
 * junk than frames.
 */
export function framesDurationMs (view: FileView, headerOf: HeaderReader): number | null {
  const block = Buffer.alloc(BLOCK_BYTES + HEADER_BYTES)
  let start = 0
  let length = view.read(block.subarray(0, BLOCK_BYTES), 0)
  let [seconds, frameBytes, junkBytes, inStep] = [0, 0, 0, false]
  for (let at = 0; at + AAC_HEADER_BYTES <= view.size;) {
    const header = headerOf(block, indexOf(at))
    if (header !== undefined && (inStep || isFollowed(at + header.bytes))) {
      seconds += header.seconds
      frameBytes += header.bytes
      at += header.bytes
      inStep = true
      continue
    }
    const tag = tagBytes(block, indexOf(at))
    const skipped = tag > 0 ? tag : junkAt(at)
    if (tag === 0) junkBytes += skipped
    if (junkBytes > frameBytes + MAX_JUNK_BYTES) return null
    at += skipped
    inStep = false
  }
  return seconds === 0 ? null : Math.round(seconds * 1000)

  /** The index in the block of a position; what is behind the end of the file is zeros. */
  function indexOf (position: number): number {
    const isInside = position >= start && position + HEADER_BYTES <= start + length
    if (!isInside && (position < start || start + length < view.size)) {
      start = position
      length = view.read(block.subarray(0, BLOCK_BYTES), start)
      block.fill(0, length, length + HEADER_BYTES)
    }
    return position - start
  }

  /** A frame is one if another follows, or a tag, or the end. */
  function isFollowed (position: number): boolean {
    if (position >= view.size) return true
    const i = indexOf(position)
    return headerOf(block, i) !== undefined || tagBytes(block, i) > 0
  }

  /** How many bytes there are to the next possible frame or tag within the block. */
  function junkAt (position: number): number {
    const i = indexOf(position)
    let next = i + 1
    while (next < length - HEADER_BYTES && !FIRST_BYTES.has(block[next]!)) next++
    return next - i
  }
}

/** The length of a tag: ID3v2 (28-bit size, a footer by flag), APEv2 with a header, ID3v1; 0 if none is there. */
function tagBytes (block: Buffer, i: number): number {
  const mark = block.toString('latin1', i, i + 8)
  if (mark === 'APETAGEX') return 32 + block.readUInt32LE(i + 12)
  if (mark.startsWith('TAG')) return 128
  if (!mark.startsWith('ID3') || block.subarray(i + 6, i + 10).some((byte) => byte > 0x7f)) return 0
  const size = (block[i + 6]! << 21) | (block[i + 7]! << 14) | (block[i + 8]! << 7) | block[i + 9]!
  return 10 + size + ((block[i + 5]! & 0x10) === 0 ? 0 : 10)
}
