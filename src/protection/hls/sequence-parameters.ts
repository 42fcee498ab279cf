/** The size of the pictures by the sequence parameters of H.264. */
export interface PictureSize {
  /** In samples, without the cropped ones. */
  width: number
  height: number
  /** The width of a sample divided by its height. */
  pixelAspect: number
}

/** Profiles with a chroma format (7.3.2.1.1). */
const CHROMA_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])
/** Table E-1: width and height of a sample. */
const PIXEL_ASPECTS = [
  [1, 1],
  [1, 1],
  [12, 11],
  [10, 11],
  [16, 11],
  [40, 33],
  [24, 11],
  [20, 11],
  [32, 11],
  [80, 33],
  [18, 11],
  [15, 11],
  [64, 33],
  [160, 99],
  [4, 3],
  [3, 2],
  [2, 1]
] as const
const EXTENDED_ASPECT = 255
const YUV_444 = 3
const MACROBLOCK = 16
/** A larger picture is none of H.264 (table A-1), and would be a damaged unit. */
const MAX_SIDE = 16_384

/**
 * Reads a NAL unit of type 7 (ISO/IEC 14496-10, 7.3.2.1.1), as far as it is needed. Returns undefined for a damaged or
 * an incomplete one.
 */
export function readPictureSize (unit: Buffer): PictureSize | undefined {
  const bits = new BitReader(unit)
  const profile = bits.read(8, 8)
  bits.skipTo(32) // constraints and level
  bits.unsigned()
  const chroma = CHROMA_PROFILES.has(profile) ? skipChroma(bits) : { format: 1, isSeparate: false }
  skipOrder(bits)
  bits.unsigned() // max_num_ref_frames
  bits.read(1)
  const columns = bits.unsigned() + 1
  const rows = bits.unsigned() + 1
  const isFrame = bits.read(1) === 1
  if (!isFrame) bits.read(1)
  bits.read(1) // direct_8x8_inference_flag
  const [left, right, top, bottom] = readCropping(bits)
  const [xUnit, yUnit] = croppingUnit(chroma, isFrame)
  const width = MACROBLOCK * columns - xUnit * (left + right)
  const height = MACROBLOCK * rows * (isFrame ? 1 : 2) - yUnit * (top + bottom)
  const pixelAspect = readPixelAspect(bits)
  if (bits.isOver || width <= 0 || height <= 0 || width > MAX_SIDE || height > MAX_SIDE) return undefined
  return { width, height, pixelAspect }
}

interface Chroma {
  format: number
  isSeparate: boolean
}

function skipChroma (bits: BitReader): Chroma {
  const format = bits.unsigned()
  const isSeparate = format === YUV_444 && bits.read(1) === 1
  bits.unsigned() // bit depths
  bits.unsigned()
  bits.read(1)
  if (bits.read(1) === 1) {
    for (let list = 0; list < (format === YUV_444 ? 12 : 8); list++) {
      if (bits.read(1) === 1) skipScalingList(bits, list < 6 ? 16 : 64)
    }
  }
  return { format, isSeparate }
}

/** 7.3.2.1.1.1. */
function skipScalingList (bits: BitReader, size: number): void {
  let [last, next] = [8, 8]
  for (let index = 0; index < size && next !== 0; index++) {
    next = (last + bits.signed() + 256) % 256
    if (next !== 0) last = next
  }
}

/** The frame number, and the order of pictures (8.2.1). */
function skipOrder (bits: BitReader): void {
  bits.unsigned()
  const type = bits.unsigned()
  if (type === 0) bits.unsigned()
  if (type !== 1) return
  bits.read(1)
  bits.signed()
  bits.signed()
  const count = bits.unsigned()
  for (let offset = 0; offset < count && !bits.isOver; offset++) bits.signed()
}

function readCropping (bits: BitReader): [left: number, right: number, top: number, bottom: number] {
  if (bits.read(1) === 0) return [0, 0, 0, 0]
  return [bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()]
}

/** Equations 7-19 to 7-22, and table 6-1. */
function croppingUnit ({ format, isSeparate }: Chroma, isFrame: boolean): [x: number, y: number] {
  const lines = isFrame ? 1 : 2
  if (isSeparate) return [1, lines]
  return [format === 1 || format === 2 ? 2 : 1, (format === 1 ? 2 : 1) * lines]
}

/** The first field of the VUI parameters (E.1.1). Unspecified and reserved values count as square. */
function readPixelAspect (bits: BitReader): number {
  if (bits.read(1) === 0 || bits.read(1) === 0) return 1
  const index = bits.read(8)
  const [width, height] = index === EXTENDED_ASPECT ? [bits.read(16), bits.read(16)] : (PIXEL_ASPECTS[index] ?? [1, 1])
  return width > 0 && height > 0 ? width / height : 1
}

/** Reads bits of a NAL unit without its emulation prevention bytes (7.3.1). */
class BitReader {
  readonly #bytes: Buffer
  #at = 0
  /** More was read than there is. What was read is then 0. */
  isOver = false

  constructor (unit: Buffer) {
    this.#bytes = Buffer.from(unit.filter((byte, at) => !(byte === 3 && unit[at - 1] === 0 && unit[at - 2] === 0)))
  }

  skipTo (at: number): void {
    this.#at = at
  }

  /** Reads at most 24 bits. */
  read (count: number, at = this.#at): number {
    this.#at = at + count
    if (this.#at > 8 * this.#bytes.length) {
      this.isOver = true
      return 0
    }
    let value = 0
    for (let bit = at; bit < at + count; bit++) value = 2 * value + ((this.#bytes[bit >> 3]! >> (7 - (bit & 7))) & 1)
    return value
  }

  /** `ue(v)` (9.1), of at most 24 bits. */
  unsigned (): number {
    let zeros = 0
    while (!this.isOver && this.read(1) === 0) zeros++
    if (this.isOver || zeros > 24) {
      this.isOver = true
      return 0
    }
    return 2 ** zeros - 1 + this.read(zeros)
  }

  /** `se(v)` (9.1.1). */
  signed (): number {
    const code = this.unsigned()
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2
  }
}
