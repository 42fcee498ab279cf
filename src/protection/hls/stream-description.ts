import { PACKET_BYTES, PIDS, PMT_PID, TICKS_PER_SECOND, type TrackKind } from './transport-stream.js'

/**
 * What a player is told of a stream before it loads it. `codecs` by RFC 6381, joined by commas; empty where one of
 * them cannot be named. `frameRate` in pictures per second, three decimals; null without pictures.
 */
export interface StreamDescription {
  codecs: string
  frameRate: number | null
}

/** A delimiter and the sequence parameters come first in a key picture. */
const MAX_HEAD_BYTES = 4096
const SEQUENCE_PARAMETERS = 7
/** ISO/IEC 14496-10, table A-1. A browser refuses a codec string with another level. */
const LEVELS = new Set([9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62])
/** Over less, a rate says little. */
const WINDOW_TICKS = TICKS_PER_SECOND
/** Times in whole milliseconds make a constant rate look uneven: by less than this. */
const UNEVENNESS = 0.02
/** H.264 puts at most 16 pictures out of order (ISO/IEC 14496-10, A.3.1). */
const LOOK_AHEAD = 16
/** PTS count modulo 2^33. */
const HALF_TURN = 2 ** 32

/** Describes a stream by its packets, as {@link TransportStream} writes them. */
export class StreamDescriber {
  readonly #codecs = new Map<TrackKind, string | undefined>()
  readonly #heads = new Map<TrackKind, Buffer>()
  readonly #rate = new FrameRate()
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
    return { codecs: codecs.length === this.#codecs.size ? codecs.join(',') : '', frameRate: this.#rate.perSecond() }
  }

  #readPacket (packet: Buffer): void {
    const pid = packet.readUInt16BE(1) & 0x1fff
    const isFirst = (packet[1]! & 0x40) !== 0
    const payload = () => packet.subarray((packet[3]! & 0x20) === 0 ? 4 : 5 + packet[4]!)
    if (pid === PMT_PID && this.#codecs.size === 0) return this.#readProgram(payload())
    const kind = pid === PIDS.video ? 'video' : 'audio'
    if (pid !== PIDS[kind]) return
    if (isFirst && kind === 'video') this.#rate.add(presentationTime(payload()))
    if (this.#codecs.get(kind) === undefined) this.#readHead(kind, isFirst, payload())
  }

  /** ISO/IEC 13818-1, 2.4.4.8: five bytes a track, after a pointer and twelve bytes, and before a checksum of four. */
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
    this.#codecs.set(kind, kind === 'video' ? avcCodec(head) : soundCodec(head))
  }
}

/** RFC 6381, 3.3: profile, constraints and level of the sequence parameters. */
function avcCodec (head: Buffer): string | undefined {
  for (let at = head.indexOf('000001', 0, 'hex'); at >= 0; at = head.indexOf('000001', at + 3, 'hex')) {
    if ((head[at + 3] ?? 0) % 32 !== SEQUENCE_PARAMETERS || head.length < at + 7) continue
    return LEVELS.has(head[at + 6]!) ? `avc1.${head.toString('hex', at + 4, at + 7)}` : undefined
  }
  return undefined
}

/** By the header of ADTS (ISO/IEC 14496-3, 1.A.2.2), whose layer is 0, or of MPEG audio. */
function soundCodec (head: Buffer): string | undefined {
  if (head.length < 3 || head[0] !== 0xff || head[1]! < 0xe0) return undefined
  return (head[1]! & 6) === 0 ? `mp4a.40.${(head[2]! >> 6) + 1}` : 'mp4a.40.34'
}

/** The PTS of a PES header (ISO/IEC 13818-1, 2.4.3.6). */
function presentationTime (pes: Buffer): number {
  return ((pes[9]! >> 1) & 7) * 2 ** 30 + (pes.readUInt16BE(10) >> 1) * 2 ** 15 + (pes.readUInt16BE(12) >> 1)
}

/** The highest rate of pictures over a second (RFC 8216, 4.3.4.2: the maximum), or the mean where the rate is even. */
class FrameRate {
  /** Times of the latest pictures in rising order: pictures come in the order of decoding. */
  readonly #ahead: number[] = []
  #latest = 0
  #shownAt: number | undefined
  #pictures = 0
  #ticks = 0
  #windowPictures = 0
  #windowTicks = 0
  #highest = 0

  /** Times count modulo 2^33. */
  add (pts: number): void {
    this.#latest += modulo(pts - this.#latest + HALF_TURN, 2 * HALF_TURN) - HALF_TURN
    let place = this.#ahead.length
    while (place > 0 && this.#ahead[place - 1]! > this.#latest) place--
    this.#ahead.splice(place, 0, this.#latest)
    if (this.#ahead.length > LOOK_AHEAD) this.#show(this.#ahead.shift()!)
  }

  /** Null for fewer than two pictures. To be called at the end. */
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
