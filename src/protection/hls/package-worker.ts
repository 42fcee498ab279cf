import {
  ALL_FORMATS,
  EncodedPacketSink,
  FilePathSource,
  Input,
  UnsupportedInputFormatError,
  type InputAudioTrack,
  type InputVideoTrack
} from 'mediabunny'
import { createCipheriv, type Cipher } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { MiB } from '../../bytes.js'
import { withDecodeTimes } from './decode-times.js'
import { asTheyAre, toAdts, toAnnexB, type Framing } from './elementary-stream.js'
import type { FileFaultKind } from './file-fault.js'
import type { PackageMessage, PackageOrder, SegmentFacts } from './packager.js'
import { StreamDescriber, type StreamDescription } from './stream-description.js'
import { TICKS_PER_SECOND, TransportStream, type Frame, type Program } from './transport-stream.js'

/**
 * A little less than the intended six seconds; RFC 8216 permits any duration. Otherwise key frames every 1.999 s would
 * make segments of eight seconds.
 */
const SEGMENT_SECONDS = 5.5
/** Without a key frame, a segment ends after this time, because a player loads whole segments. */
const MAX_SEGMENT_SECONDS = 60
/** Times in a stream start at 10 s, as is common, to leave room for early sound and decode times. */
const FIRST_TIME = 900_000
/** Packets of one write: a quarter of a megabyte. */
const CHUNK_PACKETS = 1392
/** Half of mediabunny's default, because a file is read only once, from start to end. */
const CACHE_BYTES = 4 * MiB
/**
 * The minimum part of the declared duration. A shorter file is damaged or truncated. The header may be slightly wrong,
 * and may include tracks that are not packaged.
 */
const MIN_PART = 0.9
/** Pictures of 4K at the best quality have 4 MB. A far larger frame would exhaust the memory. */
const MAX_FRAME_BYTES = 32 * MiB

const { path, target, maxBytes, maxSegments, contentKey, durationMs } = workerData as PackageOrder

/** A frame with its start (`at`) and end, in seconds from the start of the file. */
type TimedFrame = Frame & { at: number; endsAt: number }

const say = (message: PackageMessage) => parentPort!.postMessage(message)

/**
 * Writes the segments of a transport stream and encrypts them: AES-128-CBC with PKCS #7 padding. The IV is the media
 * sequence number (RFC 8216, 4.3.2.4 and 5.2).
 */
class SegmentWriter {
  readonly facts: SegmentFacts[] = []
  readonly #stream: TransportStream
  readonly #describer = new StreamDescriber()
  readonly #file: number
  #written = 0
  #cipher: Cipher | undefined
  #bytes = 0
  #startedAt = 0
  #independent = true

  constructor (program: Program, file: number) {
    this.#file = file
    this.#stream = new TransportStream(program, CHUNK_PACKETS, (chunk) => {
      this.#describer.write(chunk)
      this.#put(this.#cipher!.update(chunk))
    })
  }

  get description (): StreamDescription {
    return this.#describer.describe()
  }

  /** The start of the current segment, in seconds. Undefined if no segment is open. */
  get startedAt (): number | undefined {
    return this.#cipher === undefined ? undefined : this.#startedAt
  }

  /** Starts a segment. `independent`: it can be decoded without the segment before it. */
  begin (at: number, independent: boolean): void {
    this.end(at)
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
    if (this.#written > maxBytes) throw new Inflated(`more than ${maxBytes} bytes`)
    for (let done = 0; done < sealed.length;) done += writeSync(this.#file, sealed, done)
  }
}

async function main (): Promise<void> {
  const input = new Input({ source: new FilePathSource(path, { maxCacheSize: CACHE_BYTES }), formats: ALL_FORMATS })
  const video = await input.getPrimaryVideoTrack()
  const audio = await input.getPrimaryAudioTrack()
  const audioCodec = audio === null ? undefined : audio.codec === 'mp3' ? 'mp3' : 'aac'
  const beginsAt = Math.min(
    0,
    ...(await Promise.all([video, audio].map(async (track) => (await track?.getFirstTimestamp()) ?? 0)))
  )
  const pictures =
    video === null ? none() : withDecodeTimes(framesOf(video, 'video', await videoFraming(video), beginsAt))
  const sounds = audio === null ? none() : framesOf(audio, 'audio', await audioFraming(audio), beginsAt)
  const file = openSync(target, 'wx', 0o640)
  try {
    const segments = new SegmentWriter({ video: video === null ? undefined : 'h264', audio: audioCodec }, file)
    await cut(pictures, sounds, segments)
    say({ made: { segments: segments.facts, description: segments.description } })
  } finally {
    closeSync(file)
  }
}

/**
 * Writes pictures and sounds in the order of their times. A segment has about six seconds and starts with a key frame.
 */
async function cut (
  pictures: AsyncGenerator<TimedFrame>,
  sounds: AsyncGenerator<TimedFrame>,
  segments: SegmentWriter
): Promise<void> {
  let [picture, sound] = [await nextOf(pictures), await nextOf(sounds)]
  const firstAt = Math.min(picture?.at ?? Infinity, sound?.at ?? Infinity)
  let picturesEndAt = -Infinity
  let endsAt = 0
  const isDue = (at: number, seconds: number, from = segments.startedAt ?? -Infinity) => at - from >= seconds
  // A short rest of sound stays in the segment of the last pictures.
  const isDueAtSound = (at: number) =>
    picture === undefined
      ? isDue(at, SEGMENT_SECONDS, Math.max(picturesEndAt, segments.startedAt ?? -Infinity))
      : isDue(at, MAX_SEGMENT_SECONDS)
  while (picture !== undefined || sound !== undefined) {
    const dueAtPicture = picture !== undefined && isDue(picture.at, picture.key ? SEGMENT_SECONDS : MAX_SEGMENT_SECONDS)
    // Sound before the first presented picture of a segment belongs to the segment before.
    const frame: TimedFrame =
      picture === undefined || (sound !== undefined && sound.pts < (dueAtPicture ? picture.pts : picture.dts!))
        ? sound!
        : picture
    if (frame === picture ? dueAtPicture : isDueAtSound(frame.at)) {
      report(frame.at)
      segments.begin(segments.startedAt === undefined ? firstAt : frame.at, picture?.key ?? true)
    }
    segments.write(frame)
    endsAt = Math.max(endsAt, frame.endsAt)
    if (frame === picture) {
      picturesEndAt = Math.max(picturesEndAt, frame.endsAt)
      picture = await nextOf(pictures)
    } else sound = await nextOf(sounds)
  }
  segments.end(endsAt)
  if (durationMs !== null && endsAt * 1000 < MIN_PART * durationMs - 1000) {
    throw new Error(`it ends after ${endsAt} s of ${durationMs / 1000} s`)
  }
}

/**
 * Yields the packets of a track as frames, in decode order, and requests them one by one. mediabunny's own iterator
 * reads ahead as many packets as were consumed in the last second: hundreds of megabytes at full speed.
 */
async function * framesOf (
  track: InputVideoTrack | InputAudioTrack,
  kind: Frame['kind'],
  framing: Framing,
  beginsAt: number
): AsyncGenerator<TimedFrame> {
  const sink = new EncodedPacketSink(track)
  for (let packet = await sink.getFirstPacket(); packet !== null; packet = await sink.getNextPacket(packet)) {
    const key = kind === 'video' && packet.type === 'key'
    if (packet.byteLength > MAX_FRAME_BYTES) throw new Error(`a frame of ${packet.byteLength} bytes`)
    const pieces = framing(Buffer.from(packet.data.buffer, packet.data.byteOffset, packet.byteLength), key)
    if (pieces.length === 0) continue
    const pts = FIRST_TIME + Math.round((packet.timestamp - beginsAt) * TICKS_PER_SECOND)
    yield { kind, pieces, pts, dts: undefined, key, at: packet.timestamp, endsAt: packet.timestamp + packet.duration }
  }
}

async function nextOf (frames: AsyncGenerator<TimedFrame>): Promise<TimedFrame | undefined> {
  const { value, done } = await frames.next()
  return done === true ? undefined : (value as TimedFrame)
}

/** Reports the progress once for each segment, even if it is unchanged, to show that this thread is not stuck. */
function report (at: number): void {
  say({ percent: durationMs === null ? 0 : Math.max(0, Math.min(99, Math.floor((100_000 * at) / durationMs))) })
}

async function * none (): AsyncGenerator<TimedFrame> {}

async function videoFraming (track: InputVideoTrack): Promise<Framing> {
  const description = bytesOf((await track.getDecoderConfig())?.description)
  return description === undefined ? asTheyAre : toAnnexB(description)
}

async function audioFraming (track: InputAudioTrack): Promise<Framing> {
  const description = track.codec === 'mp3' ? undefined : bytesOf((await track.getDecoderConfig())?.description)
  if (description === undefined) return asTheyAre
  const framing = toAdts(description)
  if (framing === undefined) throw new Unsupported()
  return framing
}

function bytesOf (source: ArrayBufferView | ArrayBufferLike | undefined): Uint8Array | undefined {
  if (source === undefined) return undefined
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source)
}

/** Thrown for a kind of codec that MPEG-TS cannot contain. */
class Unsupported extends Error {}

/** Thrown if the output is far larger than the file, or has too many segments. */
class Inflated extends Error {}

function faultOf (error: Error & { code?: string }): FileFaultKind | 'system' {
  // An error of the system (EMFILE, or EIO on a network disk) is not a fault of the file.
  if (/^E[A-Z]+$/.test(error.code ?? '')) return 'system'
  if (error instanceof Inflated) return 'inflated'
  return error instanceof UnsupportedInputFormatError || error instanceof Unsupported ? 'unsupported' : 'damaged'
}

main().catch((error: Error) => say({ failed: error.stack ?? error.message, fault: faultOf(error) }))
