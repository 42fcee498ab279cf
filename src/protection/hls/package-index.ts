import type { PackageFacts } from './packager.js'
import type { StreamDescription } from './stream-description.js'

/** The position of a segment in the blob of its package: first and last byte, both inclusive. */
export interface SegmentPlace {
  start: number
  end: number
}

/** 8 bytes for the offset of a segment, and 4 bytes for its duration. */
const BYTES_PER_SEGMENT = 12
/** The size of the object and its two empty arrays. */
const OBJECT_BYTES = 512

/** The segments of a package. Each uses 12 bytes of memory, far less than parsed JSON. */
export class PackageIndex {
  readonly #offsets: Float64Array
  readonly #milliseconds: Uint32Array
  /** Whether each segment can be decoded without the segment before it. */
  readonly independent: boolean
  readonly description: StreamDescription
  /** The time in the stream at which the media is at 0, in 1/90,000 s. */
  readonly zeroTicks: number

  constructor ({ segments, description, zeroTicks }: PackageFacts) {
    this.description = description
    this.zeroTicks = zeroTicks
    this.#offsets = new Float64Array(segments.length + 1)
    this.#milliseconds = new Uint32Array(segments.length)
    for (const [number, [bytes, milliseconds]] of segments.entries()) {
      this.#offsets[number + 1] = this.#offsets[number]! + bytes
      this.#milliseconds[number] = milliseconds
    }
    this.independent = segments.every(([, , dependent]) => dependent === undefined)
  }

  get durations (): Uint32Array {
    return this.#milliseconds
  }

  /** The memory that this index uses, in bytes. */
  get sizeBytes (): number {
    return OBJECT_BYTES + BYTES_PER_SEGMENT * this.#milliseconds.length
  }

  /** Returns the position of segment `number` (from 0). Undefined if it does not exist. */
  placeOf (number: number): SegmentPlace | undefined {
    const [start, next] = [this.#offsets[number], this.#offsets[number + 1]]
    return start === undefined || next === undefined ? undefined : { start, end: next - 1 }
  }

  /** Returns bits per second: the peak of a segment, and the average of all segments. */
  bandwidth (): { peak: number; average: number } {
    let peak = 0
    let allMilliseconds = 0
    for (const [number, milliseconds] of this.#milliseconds.entries()) {
      const bytes = this.#offsets[number + 1]! - this.#offsets[number]!
      peak = Math.max(peak, bitsPerSecond(bytes, milliseconds))
      allMilliseconds += milliseconds
    }
    return { peak, average: bitsPerSecond(this.#offsets.at(-1)!, allMilliseconds) }
  }
}

function bitsPerSecond (bytes: number, milliseconds: number): number {
  return Math.ceil((bytes * 8000) / Math.max(1, milliseconds))
}
