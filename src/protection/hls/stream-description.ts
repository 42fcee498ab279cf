import { readPictureSize, type PictureSize } from './sequence-parameters.js'
import { PACKET_BYTES, PIDS, PMT_PID, TICKS_PER_SECOND, type TrackKind } from './transport-stream.js'

/**
 * The description of a stream for a player, which gets it before the stream. `codecs` follow RFC 6381, joined by
 * commas; empty if a codec has no name. `frameRate` is in pictures per second, with three decimals; null without
 * pictures. `size` is as a player shows the pictures; null without pictures or if it cannot be read.
 */
export interface StreamDescription {
  codecs: string
  frameRate: number | null
  size: { width: number; height: number } | null
}

/** The delimiter and the sequence parameters are in the first bytes of a key picture. */
const MAX_HEAD_BYTES = 4096
const SEQUENCE_PARAMETERS = 7
/** ISO/IEC 14496-10, table A-1. A browser refuses a codec string with another level. */
const LEVELS = new Set([9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62])
/** A rate in a shorter window has no meaning. */
const WINDOW_TICKS = TICKS_PER_SECOND
/** Times in whole milliseconds make a constant rate vary by less than this share. */
const UNEVENNESS = 0.02
/** H.264 reorders at most 16 pictures (ISO/IEC 14496-10, A.3.1). */
const LOOK_AHEAD = 16
/** Half the range of PTS values, which are modulo 2^33. */
const HALF_TURN = 2 ** 32

/** Describes a stream by its packets, as {@link TransportStream} writes them. */
export class StreamDescriber {
  readonly #codecs = new Map<TrackKind, string | undefined>()
  readonly #heads = new Map<TrackKind, Buffer>()
  readonly #rate = new FrameRate()
  #picture: PictureSize | undefined
  #rest = Buffer.alloc(0)

  /** Reads a part of the stream; a packet may be split between two parts. */
  write (part: Buffer): void {
    const bytes = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part])
    let at = 0
    for (; at + PACKET_BYTES <= bytes.length; at += PACKET_BYTES) {
      this.#readPacket(bytes.subarray(at, at + PACKET_BYTES))
    }
    this.#rest = Buffer.from(bytes.subarray(at))
  }

  describe (): StreamDescription {
    const codecs = [this.#codecs.get('video'), this.#codecs.get('audio')].filter((codec) => codec !== undefined)
    return {
      codecs: codecs.length === this.#codecs.size ? codecs.join(',') : '',
      frameRate: this.#rate.perSecond(),
      size: this.size
    }
  }

  /** The size of the pictures, from the first sequence parameters. A player stretches samples that are not square. */
  get size (): StreamDescription['size'] {
    if (this.#picture === undefined) return null
    const { width, height, pixelAspect } = this.#picture
    const [stretchX, stretchY] = [Math.max(1, pixelAspect), Math.max(1, 1 / pixelAspect)]
    return { width: Math.round(width * stretchX), height: Math.round(height * stretchY) }
  }

  /** The width of a sample divided by its height. */
  get pixelAspect (): number {
    return this.#picture?.pixelAspect ?? 1
  }

  #readPacket (packet: Buffer): void {
    const pid = packet.readUInt16BE(1) & 0x1fff
    const isFirst = (packet[1]! & 0x40) !== 0
    const payload = () => packet.subarray((packet[3]! & 0x20) === 0 ? 4 : 5 + packet[4]!)
    if (pid === PMT_PID && this.#codecs.size === 0) return this.#readProgram(payload())
    const kind = pid === PIDS.video ? 'video' : 'audio'
    if (pid !== PIDS[kind]) return
    if (isFirst && kind === 'video') this.#rate.add(presentationTime(payload()))
    const isKnown = this.#codecs.get(kind) !== undefined && (kind === 'audio' || this.#picture !== undefined)
    if (!isKnown) this.#readHead(kind, isFirst, payload())
  }

  /**
   * Reads the program map (ISO/IEC 13818-1, 2.4.4.8): 13 bytes, five bytes for each track, and a checksum of four
   * bytes.
   */
  #readProgram (payload: Buffer): void {
    const end = 4 + (payload.readUInt16BE(2) & 0xfff) - 4
    for (let at = 13; at + 5 <= end; at += 5) {
      const pid = payload.readUInt16BE(at + 1) & 0x1fff
      this.#codecs.set(pid === PIDS.video ? 'video' : 'audio', undefined)
    }
  }

  #readHead (kind: TrackKind, isFirst: boolean, payload: Buffer): void {
    const before = isFirst ? Buffer.alloc(0) : this.#heads.get(kind)
    if (before === undefined || before.length > MAX_HEAD_BYTES) return
    const head = Buffer.concat([before, isFirst ? payload.subarray(9 + payload[8]!) : payload])
    this.#heads.set(kind, head)
    if (kind === 'audio') return void this.#codecs.set(kind, soundCodec(head))
    const parameters = sequenceParameters(head)
    if (parameters === undefined) return
    this.#codecs.set(kind, avcCodec(parameters))
    this.#picture = readPictureSize(parameters)
  }
}

/** Returns the first sequence parameters of a picture, at least up to their level. They may be incomplete. */
export function sequenceParameters (head: Buffer): Buffer | undefined {
  for (let at = head.indexOf('000001', 0, 'hex'); at >= 0; at = head.indexOf('000001', at + 3, 'hex')) {
    if ((head[at + 3] ?? 0) % 32 !== SEQUENCE_PARAMETERS || head.length < at + 7) continue
    const end = head.indexOf('000001', at + 3, 'hex')
    return head.subarray(at + 3, end < 0 ? undefined : end)
  }
  return undefined
}

/** Returns the codec string (RFC 6381, 3.3): profile, constraints and level of the sequence parameters. */
function avcCodec (parameters: Buffer): string | undefined {
  return LEVELS.has(parameters[3]!) ? `avc1.${parameters.toString('hex', 1, 4)}` : undefined
}

/** Returns the codec string by the header of ADTS (ISO/IEC 14496-3, 1.A.2.2), whose layer is 0, or of MPEG audio. */
function soundCodec (head: Buffer): string | undefined {
  if (head.length < 3 || head[0] !== 0xff || head[1]! < 0xe0) return undefined
  return (head[1]! & 6) === 0 ? `mp4a.40.${(head[2]! >> 6) + 1}` : 'mp4a.40.34'
}

/** Returns the PTS of a PES header (ISO/IEC 13818-1, 2.4.3.6). */
function presentationTime (pes: Buffer): number {
  return ((pes[9]! >> 1) & 7) * 2 ** 30 + (pes.readUInt16BE(10) >> 1) * 2 ** 15 + (pes.readUInt16BE(12) >> 1)
}

/** The highest frame rate in a window of a second (RFC 8216, 4.3.4.2), or the mean if the rate is constant. */
class FrameRate {
  /** Times of the latest pictures in rising order. Pictures arrive in decode order. */
  readonly #ahead: number[] = []
  #latest = 0
  #shownAt: number | undefined
  #pictures = 0
  #ticks = 0
  #windowPictures = 0
  #windowTicks = 0
  #highest = 0

  /** Adds a picture. `pts` is modulo 2^33. */
  add (pts: number): void {
    this.#latest += modulo(pts - this.#latest + HALF_TURN, 2 * HALF_TURN) - HALF_TURN
    let place = this.#ahead.length
    while (place > 0 && this.#ahead[place - 1]! > this.#latest) place--
    this.#ahead.splice(place, 0, this.#latest)
    if (this.#ahead.length > LOOK_AHEAD) this.#show(this.#ahead.shift()!)
  }

  /** Returns pictures per second; null for fewer than two pictures. Call it only at the end. */
  perSecond (): number | null {
    for (const time of this.#ahead.splice(0)) this.#show(time)
    if (this.#ticks <= 0) return null
    const mean = this.#pictures / this.#ticks
    const rate = this.#highest > mean * (1 + UNEVENNESS) ? this.#highest : mean
    return Math.round(rate * TICKS_PER_SECOND * 1000) / 1000 || null
  }

  #show (time: number): void {
    const passed = this.#shownAt === undefined ? undefined : time - this.#shownAt
    this.#shownAt = time
    if (passed === undefined) return
    this.#pictures++
    this.#ticks += passed
    this.#windowPictures++
    this.#windowTicks += passed
    if (this.#windowTicks < WINDOW_TICKS) return
    this.#highest = Math.max(this.#highest, this.#windowPictures / this.#windowTicks)
    this.#windowPictures = this.#windowTicks = 0
  }
}

function modulo (value: number, by: number): number {
  return ((value % by) + by) % by
}
