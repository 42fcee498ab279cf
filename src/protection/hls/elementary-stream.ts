const START_CODE = Buffer.of(0, 0, 0, 1)
/** Types of NAL units (ISO/IEC 14496-10, table 7-1). */
const SEQUENCE_PARAMETERS = 7
const DELIMITER = 9
/**
 * An access unit delimiter that permits every picture type. MPEG-TS requires a delimiter before each picture (ISO/IEC
 * 13818-1, 2.14).
 */
const DELIMITER_UNIT = Buffer.of(DELIMITER, 0xf0)
const ADTS_HEADER_BYTES = 7
/** The frame length of ADTS has 13 bits. */
const MAX_ADTS_BYTES = 0x1fff

/**
 * Converts a frame of a file to its form in a transport stream. Returns pieces that are not copied, or an empty list
 * for a frame without content.
 */
export type Framing = (data: Buffer, key: boolean) => Buffer[]

/** Returns frames unchanged. */
export const passThrough: Framing = (data) => [data]

/**
 * Converts H.264 units with length prefixes to a byte stream (ISO/IEC 14496-10, annex B). It inserts the parameter sets
 * of `avcC` (ISO/IEC 14496-15, 5.3.3.1) before each key picture that has no parameter sets. A unit that is longer than
 * the rest of its frame ends with the frame.
 */
export function toAnnexB (avcC: Uint8Array): Framing {
  const { lengthBytes, parameterSets } = readAvcConfig(Buffer.from(avcC))
  return (data, key) => {
    const units = [...unitsOf(data, lengthBytes)].filter((unit) => unitType(unit) !== DELIMITER)
    if (units.length === 0) return []
    const sets = key && !units.some((unit) => unitType(unit) === SEQUENCE_PARAMETERS) ? parameterSets : []
    return [DELIMITER_UNIT, ...sets, ...units].flatMap((unit) => [START_CODE, unit])
  }
}

function * unitsOf (data: Buffer, lengthBytes: number): Generator<Buffer> {
  for (let start = 0; start + lengthBytes < data.length;) {
    const length = data.readUIntBE(start, lengthBytes)
    start += lengthBytes
    if (length > 0) yield data.subarray(start, start + length)
    start += length
  }
}

function unitType (unit: Buffer): number {
  return unit[0]! & 0x1f
}

function readAvcConfig (avcC: Buffer): { lengthBytes: number; parameterSets: Buffer[] } {
  const parameterSets: Buffer[] = []
  let at = 5
  for (const mask of [0x1f, 0xff]) {
    const count = avcC.readUInt8(at++) & mask
    for (let set = 0; set < count; set++) {
      const length = avcC.readUInt16BE(at)
      parameterSets.push(avcC.subarray(at + 2, at + 2 + length))
      at += 2 + length
    }
  }
  return { lengthBytes: (avcC.readUInt8(4) & 3) + 1, parameterSets: parameterSets.filter((set) => set.length > 0) }
}

/**
 * Adds an ADTS header to each AAC frame, made from the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1 and 1.A.2.2).
 * Returns undefined for a kind of AAC that ADTS cannot describe.
 */
export function toAdts (specificConfig: Uint8Array): Framing | undefined {
  const bits = [...specificConfig].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  let at = 0
  const read = (count: number) => {
    at += count
    return parseInt(bits.slice(at - count, at), 2)
  }
  const objectType = () => {
    const type = read(5)
    return type === 31 ? 32 + read(6) : type
  }
  const frequency = () => {
    const index = read(4)
    if (index === 15) read(24)
    return index
  }
  let type = objectType()
  const frequencyIndex = frequency()
  const channels = read(4)
  // HE-AAC: the object type for a decoder without the extension follows the extension (1.6.5).
  if (type === 5 || type === 29) {
    frequency()
    type = objectType()
  }
  if (!(type >= 1 && type <= 4 && frequencyIndex <= 12 && channels >= 1 && channels <= 7)) return undefined
  const template = Buffer.of(
    0xff,
    0xf1,
    ((type - 1) << 6) | (frequencyIndex << 2) | (channels >> 2),
    (channels & 3) << 6,
    0,
    0x1f,
    0xfc
  )
  return (data) => {
    const length = ADTS_HEADER_BYTES + data.length
    if (data.length === 0 || length > MAX_ADTS_BYTES) return []
    const header = Buffer.from(template)
    header[3]! |= length >> 11
    header[4] = (length >> 3) & 0xff
    header[5]! |= (length & 7) << 5
    return [header, data]
  }
}
