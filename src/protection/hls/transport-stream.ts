/** The size of a transport packet (ISO/IEC 13818-1, 2.4.3.2). */
export const PACKET_BYTES = 188
const PAYLOAD_BYTES = PACKET_BYTES - 4
const PAT_PID = 0
/** The clock rate of PTS and DTS. */
export const TICKS_PER_SECOND = 90_000
/** Times in a stream start at 10 s, as is common, to leave room for early sound and decode times. */
export const FIRST_TIME = 900_000
export const PMT_PID = 0x1000
export const PIDS = { video: 0x100, audio: 0x101 }
/** ISO/IEC 13818-1, table 2-22. */
const STREAM_IDS = { video: 0xe0, audio: 0xc0 }
/** ISO/IEC 13818-1, table 2-34. */
const STREAM_TYPES = { h264: 0x1b, aac: 0x0f, 'mpeg1-audio': 0x03, 'mpeg2-audio': 0x04 }
/**
 * The program clock is half a second behind the decode times, in 1/90,000 s. Data must arrive before its decode time
 * (2.7.2), and decoders need a reserve.
 */
const CLOCK_LAG = 45_000

export type TrackKind = keyof typeof PIDS

/**
 * The tracks of a program. Each track has the same number in every segment, also in a segment without its packets (RFC
 * 8216, 4.3.2.3).
 */
export interface Program {
  video: 'h264' | undefined
  /** MP3 below 32 kHz is of MPEG-2. */
  audio: 'aac' | 'mpeg1-audio' | 'mpeg2-audio' | undefined
}

/**
 * A frame for the stream, as consecutive pieces. Times are in 1/90,000 s, and may wrap as in the standard. `dts` is
 * undefined if it equals `pts`.
 */
export interface Frame {
  kind: TrackKind
  pieces: Buffer[]
  pts: number
  dts: number | undefined
  key: boolean
}

/** Writes an MPEG transport stream of one program. It buffers at most one chunk. */
export class TransportStream {
  readonly #tables: Array<[pid: number, section: Buffer]>
  readonly #clockPid: number
  readonly #counters = new Map<number, number>()
  readonly #chunk: Buffer
  #filled = 0
  readonly #emit: (chunk: Buffer) => void

  /** Calls `emit` with chunks of `chunkPackets` packets, in a buffer that is reused for the next chunk. */
  constructor (program: Program, chunkPackets: number, emit: (chunk: Buffer) => void) {
    this.#clockPid = program.video === undefined ? PIDS.audio : PIDS.video
    this.#tables = [
      [PAT_PID, programAssociation()],
      [PMT_PID, programMap(program, this.#clockPid)]
    ]
    this.#chunk = Buffer.allocUnsafeSlow(chunkPackets * PACKET_BYTES)
    this.#emit = emit
  }

  /** Writes the program tables. Every segment starts with them. */
  writeTables (): void {
    for (const [pid, section] of this.#tables) {
      this.#writePayload(pid, [Buffer.of(0), section], (left) => stuffing(PAYLOAD_BYTES - left))
    }
  }

  writeFrame ({ kind, pieces, pts, dts, key }: Frame): void {
    const pid = PIDS[kind]
    const clock = pid === this.#clockPid ? (dts ?? pts) - CLOCK_LAG : undefined
    const header = pesHeader(kind, sum(pieces), pts, dts)
    this.#writePayload(pid, [header, ...pieces], (left, first) =>
      first ? adaptationField(key, clock, PAYLOAD_BYTES - left) : stuffing(PAYLOAD_BYTES - left)
    )
  }

  /** Emits the buffered packets. */
  flush (): void {
    if (this.#filled > 0) this.#emit(this.#chunk.subarray(0, this.#filled))
    this.#filled = 0
  }

  #writePayload (pid: number, pieces: Buffer[], fieldFor: (leftBytes: number, first: boolean) => Buffer): void {
    let [piece, done] = [0, 0]
    for (let left = sum(pieces), first = true; left > 0; first = false) {
      const field = fieldFor(left, first)
      let at = this.#writeHeader(pid, first, field)
      left -= PAYLOAD_BYTES - field.length
      while (at < this.#filled) {
        const copied = pieces[piece]!.copy(this.#chunk, at, done, done + this.#filled - at)
        at += copied
        done += copied
        if (done === pieces[piece]!.length) [piece, done] = [piece + 1, 0]
      }
      if (this.#filled === this.#chunk.length) this.flush()
    }
  }

  /** Writes the header of the next packet into the chunk. Returns the offset of its payload. */
  #writeHeader (pid: number, first: boolean, field: Buffer): number {
    const counter = this.#counters.get(pid) ?? 0
    this.#counters.set(pid, (counter + 1) & 0xf)
    const at = this.#filled
    this.#filled += PACKET_BYTES
    this.#chunk[at] = 0x47
    this.#chunk.writeUInt16BE((first ? 0x4000 : 0) | pid, at + 1)
    this.#chunk[at + 3] = (field.length > 0 ? 0x30 : 0x10) | counter
    field.copy(this.#chunk, at + 4)
    return at + 4 + field.length
  }
}

function sum (pieces: Buffer[]): number {
  return pieces.reduce((bytes, piece) => bytes + piece.length, 0)
}

const NO_FIELD = Buffer.alloc(0)

/** Returns an adaptation field of `bytes` bytes that contains only stuffing (2.4.3.4). */
function stuffing (bytes: number): Buffer {
  if (bytes <= 0) return NO_FIELD
  const field = Buffer.alloc(bytes, 0xff)
  field[0] = bytes - 1
  if (bytes > 1) field[1] = 0
  return field
}

/** Returns an adaptation field for the first packet of a frame, at least `minBytes` long. */
function adaptationField (key: boolean, clock: number | undefined, minBytes: number): Buffer {
  if (!key && clock === undefined) return stuffing(minBytes)
  const field = stuffing(Math.max(minBytes, clock === undefined ? 2 : 8))
  field[1] = (key ? 0x40 : 0) | (clock === undefined ? 0 : 0x10)
  // 33 bits of the 90 kHz clock, six reserved bits of 1, and nine bits of the 27 MHz clock, which are 0.
  if (clock !== undefined) {
    const base = wrapped(clock)
    field.writeUInt32BE(Math.floor(base / 2), 2)
    field.writeUInt16BE(((base % 2) << 15) | 0x7e00, 6)
  }
  return field
}

/**
 * Returns the header of a PES packet (2.4.3.6). A picture may be too long for the length field, so it is 0 for video.
 */
function pesHeader (kind: TrackKind, dataBytes: number, pts: number, dts: number | undefined): Buffer {
  const times = dts === undefined ? [timestamp(2, pts)] : [timestamp(3, pts), timestamp(1, dts)]
  const rest = 3 + 5 * times.length + dataBytes
  const length = kind === 'video' || rest > 0xffff ? 0 : rest
  return Buffer.concat([
    Buffer.of(
      0,
      0,
      1,
      STREAM_IDS[kind],
      length >> 8,
      length & 0xff,
      0x84,
      dts === undefined ? 0x80 : 0xc0,
      5 * times.length
    ),
    ...times
  ])
}

function timestamp (prefix: number, time: number): Buffer {
  const ticks = wrapped(time)
  const field = Buffer.alloc(5)
  field[0] = (prefix << 4) | (Math.floor(ticks / 2 ** 30) << 1) | 1
  field.writeUInt16BE(((Math.floor(ticks / 2 ** 15) & 0x7fff) << 1) | 1, 1)
  field.writeUInt16BE(((ticks & 0x7fff) << 1) | 1, 3)
  return field
}

/** Returns a time modulo 2^33. Times wrap after 26.5 hours. */
function wrapped (time: number): number {
  return ((time % 2 ** 33) + 2 ** 33) % 2 ** 33
}

/** Returns the program association table (2.4.4.3), with the map of program 1. */
function programAssociation (): Buffer {
  return section(0x00, 1, Buffer.of(0, 1, 0xe0 | (PMT_PID >> 8), PMT_PID & 0xff))
}

/** Returns the program map table (2.4.4.8). */
function programMap ({ video, audio }: Program, clockPid: number): Buffer {
  const entry = (kind: TrackKind, codec: keyof typeof STREAM_TYPES | undefined) =>
    codec === undefined ? [] : [STREAM_TYPES[codec], 0xe0 | (PIDS[kind] >> 8), PIDS[kind] & 0xff, 0xf0, 0]
  return section(
    0x02,
    1,
    Buffer.from([0xe0 | (clockPid >> 8), clockPid & 0xff, 0xf0, 0, ...entry('video', video), ...entry('audio', audio)])
  )
}

function section (tableId: number, number: number, body: Buffer): Buffer {
  const length = 5 + body.length + 4
  const bytes = Buffer.concat([
    Buffer.of(tableId, 0xb0 | (length >> 8), length & 0xff, 0, number, 0xc1, 0, 0),
    body,
    Buffer.alloc(4)
  ])
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

/** Returns the CRC of ISO/IEC 13818-1, annex A. */
function crc32 (bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte << 24
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0)
  }
  return crc >>> 0
}
