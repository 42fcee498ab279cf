import { createCipheriv, type Cipher } from 'node:crypto'
import { writeSync } from 'node:fs'
import type { PackageOrder, SegmentFacts } from './packager.js'
import { StreamDescriber, type StreamDescription } from './stream-description.js'
import { TransportStream, type Frame, type Program } from './transport-stream.js'

/** Packets of one write: a quarter of a megabyte. */
const CHUNK_PACKETS = 1392

type SegmentLimits = Pick<PackageOrder, 'maxBytes' | 'maxSegments' | 'contentKey'>

/** The package grows far beyond the size of its file. */
export class Inflated extends Error {}

/**
 * Writes the segments of a transport stream and encrypts them: AES-128-CBC with PKCS #7 padding. The IV is the media
 * sequence number (RFC 8216, 4.3.2.4 and 5.2).
 */
export class SegmentWriter {
  readonly facts: SegmentFacts[] = []
  readonly #stream: TransportStream
  readonly #describer = new StreamDescriber()
  readonly #file: number
  readonly #limits: SegmentLimits
  #written = 0
  #cipher: Cipher | undefined
  #bytes = 0
  #startedAt = 0
  #independent = true

  constructor (program: Program, file: number, limits: SegmentLimits) {
    this.#file = file
    this.#limits = limits
    this.#stream = new TransportStream(program, CHUNK_PACKETS, (chunk) => {
      this.#describer.write(chunk)
      this.#put(this.#cipher!.update(chunk))
    })
  }

  get description (): StreamDescription {
    return this.#describer.describe()
  }

  /** The width of a sample of the pictures divided by its height. */
  get pixelAspect (): number {
    return this.#describer.pixelAspect
  }

  /** The start of the current segment, in seconds. Undefined if no segment is open. */
  get startedAt (): number | undefined {
    return this.#cipher === undefined ? undefined : this.#startedAt
  }

  /** Starts a segment. `independent`: it can be decoded without the segment before it. */
  begin (at: number, independent: boolean): void {
    this.end(at)
    const { maxSegments, contentKey } = this.#limits
    if (this.facts.length === maxSegments) throw new Inflated(`there are more than ${maxSegments} segments`)
    const iv = Buffer.alloc(16)
    iv.writeUInt32BE(this.facts.length, 12)
    this.#cipher = createCipheriv('aes-128-cbc', contentKey, iv)
    this.#bytes = 0
    this.#startedAt = at
    this.#independent = independent
    this.#stream.writeTables()
  }

  write (frame: Frame): void {
    this.#stream.writeFrame(frame)
  }

  end (at: number): void {
    if (this.#cipher === undefined) return
    this.#stream.flush()
    this.#put(this.#cipher.final())
    const milliseconds = Math.max(1, Math.round((at - this.#startedAt) * 1000))
    this.facts.push(this.#independent ? [this.#bytes, milliseconds] : [this.#bytes, milliseconds, 'dependent'])
    this.#cipher = undefined
  }

  #put (sealed: Buffer): void {
    this.#bytes += sealed.length
    this.#written += sealed.length
    const { maxBytes } = this.#limits
    if (this.#written > maxBytes) throw new Inflated(`more than ${maxBytes} bytes`)
    for (let done = 0; done < sealed.length;) done += writeSync(this.#file, sealed, done)
  }
}
