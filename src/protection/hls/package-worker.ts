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
 * A little less than the six seconds that are meant (RFC 8216 leaves it open): key frames every 1.999 s must not make
 * eight of them.
 */
const SEGMENT_SECONDS = 5.5
/** Without a key frame a segment ends here: a player loads it whole. */
const MAX_SEGMENT_SECONDS = 60
/** Times in a stream begin at 10 s, as usual: there is room before for sound and decoding that come early. */
const FIRST_TIME = 900_000
/** A quarter of a megabyte at a time. */
const CHUNK_PACKETS = 1392
/** Half of mediabunny's default: a file is read once, from its start to its end. */
const CACHE_BYTES = 4 * MiB
/**
 * A file with less than that of what its header says is damaged or cut off; the header may be a little wrong, and count
 * tracks that are left out.
 */
const MIN_PART = 0.9
/** 4K at its best has pictures of 4 MB; what claims more would take the memory of all. */
const MAX_FRAME_BYTES = 32 * MiB

const { path, target, maxBytes, maxSegments, contentKey, durationMs } = workerData as PackageOrder

/** What a file's packets become; `at` in seconds from its beginning. */
type TimedFrame = Frame & { at: number; endsAt: number }

const say = (message: PackageMessage) => parentPort!.postMessage(message)

/**
 * Segments of a transport stream, encrypted as they are written: AES-128-CBC with PKCS #7 padding, the IV is the media
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

  /** Undefined before the first. */
  get startedAt (): number | undefined {
    return this.#cipher === undefined ? undefined : this.#startedAt
  }

  /** Begins a segment; `independent` if it can be decoded without the one before. */
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
 * Writes pictures and sounds in the order of their times, into segments of about six seconds that begin with a key
 * frame.
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
  // A short tail of sound stays with the last pictures.
  const isDueAtSound = (at: number) =>
    picture === undefined
      ? isDue(at, SEGMENT_SECONDS, Math.max(picturesEndAt, segments.startedAt ?? -Infinity))
      : isDue(at, MAX_SEGMENT_SECONDS)
  while (picture !== undefined || sound !== undefined) {
    const dueAtPicture = picture !== undefined && isDue(picture.at, picture.key ? SEGMENT_SECONDS : MAX_SEGMENT_SECONDS)
    // What is heard before a segment's first picture is shown belongs to the segment before.
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
 * The packets of a track as frames, in the order of decoding. One at a time: mediabunny's own iterator reads a second's
 * worth ahead, which at full speed is hundreds of megabytes.
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

/** Once a segment, whether it has changed or not: it shows that this thread is not stuck. */
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

/** A kind of a codec that MPEG-TS can't carry. */
class Unsupported extends Error {}

/** Far more came of the file than it is large. */
class Inflated extends Error {}

function faultOf (error: Error & { code?: string }): FileFaultKind | 'system' {
  // What the system refuses (EMFILE, EIO on a network disk) is not the file's fault.
  if (/^E[A-Z]+$/.test(error.code ?? '')) return 'system'
  if (error instanceof Inflated) return 'inflated'
  return error instanceof UnsupportedInputFormatError || error instanceof Unsupported ? 'unsupported' : 'damaged'
}

main().catch((error: Error) => say({ failed: error.stack ?? error.message, fault: faultOf(error) }))
