import { EncodedPacketSink, UnsupportedInputFormatError } from 'mediabunny'
import type { InputAudioTrack, InputVideoTrack } from 'mediabunny'
import { closeSync, openSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { MiB } from '../../bytes.js'
import { withDecodeTimes } from './decode-times.js'
import type { Framing } from './elementary-stream.js'
import type { FileFaultKind } from './file-fault.js'
import { openInput, type OpenInput } from './open-input.js'
import type { PackageMessage, PackageOrder } from './packager.js'
import { NotCarried, playedTracks, type PlayedTrack } from './played-tracks.js'
import { programOf, UnknownFrames } from './program.js'
import { Inflated, SegmentWriter } from './segment-writer.js'
import { encodeAll, encodeBoth, type TranscodePlan } from './transcode-plan.js'
import { FIRST_TIME, TICKS_PER_SECOND, type Frame } from './transport-stream.js'
import { trimPictures, trimSounds, Uncuttable } from './trim.js'

/**
 * A little less than the intended six seconds; RFC 8216 permits any duration. Otherwise key frames every 1.999 s would
 * make segments of eight seconds.
 */
const SEGMENT_SECONDS = 5.5
/** Without a key frame, a segment ends after this time, because a player loads whole segments. */
const MAX_SEGMENT_SECONDS = 60
/**
 * The minimum part of the declared duration. A shorter file is damaged or truncated. The header may be slightly wrong,
 * and may include tracks that are not packaged.
 */
const MIN_PART = 0.9
/** Pictures of 4K at the best quality have 4 MB. A far larger frame would exhaust the memory. */
const MAX_FRAME_BYTES = 32 * MiB

const order = workerData as PackageOrder
const { path, target } = order
/** The expected duration; a shorter one where edits end before. */
let durationMs = order.durationMs

/** Sound that an encoder needs before the first that is heard takes at most so long. */
const MAX_PRIMING_SECONDS = 1

/** mediabunny says so of a known format with an unusual feature, such as AAC whose channels are in its own table. */
const NOT_SUPPORTED = /not supported|unsupported/i

/** A frame with its start (`at`) and end, in seconds from the start of the file. */
type TimedFrame = Frame & { at: number; endsAt: number }

/** The frames of both tracks, of which the first are already read. */
interface Tracks {
  pictures: AsyncGenerator<TimedFrame>
  sounds: AsyncGenerator<TimedFrame>
  picture: TimedFrame | undefined
  sound: TimedFrame | undefined
}

/** The sequence parameters stretch the pictures, but the container does not. */
class Stretched extends Error {}

const say = (message: PackageMessage) => parentPort!.postMessage(message)

async function main (): Promise<void> {
  const source = openInput(path)
  try {
    await packageInput(source)
  } finally {
    source.close()
  }
}

async function packageInput (source: OpenInput): Promise<void> {
  const { video, audio, plan } = await playedTracks(source, order)
  if (durationMs !== null && plan.endsAt !== undefined) durationMs = Math.min(durationMs, plan.endsAt * 1000)
  const beginsAt = Math.min(0, ...(await Promise.all([video, audio].map(firstTime))))
  const pictures =
    video === undefined
      ? none()
      : withDecodeTimes(trimPictures(framesOf(video.track, 'video', video.framing, beginsAt), video.edit))
  const sounds =
    audio === undefined
      ? none()
      : trimSounds(framesOf(audio.track, 'audio', audio.framing, beginsAt), audio.edit, audio.sampleRate)
  const file = openSync(target, 'wx', 0o640)
  try {
    const [picture, sound] = [await nextOf(pictures), await nextOf(sounds)]
    const segments = new SegmentWriter(programOf(picture, sound), file, order)
    await cut({ pictures, sounds, picture, sound }, segments)
    const zeroTicks = FIRST_TIME - Math.round(beginsAt * TICKS_PER_SECOND)
    say({ made: { segments: segments.facts, description: segments.description, zeroTicks } })
  } catch (error) {
    throw notCarried(error, plan)
  } finally {
    closeSync(file)
  }
}

/** Returns the error with a plan for ffmpeg, if it is of frames that are not carried. */
function notCarried (error: unknown, plan: TranscodePlan): unknown {
  if (error instanceof Uncuttable) return new NotCarried('edited', plan, error.message)
  // By the container, its pixels are square, so the displayed size is unknown.
  if (error instanceof Stretched) return new NotCarried('stretched', { ...encodeBoth(plan), size: undefined })
  return error instanceof UnknownFrames ? new NotCarried('unsupported', encodeBoth(plan), error.message) : error
}

/** Where the times of a stream begin for a track. What lies further before its edit is left out. */
async function firstTime (
  played: PlayedTrack<InputVideoTrack> | PlayedTrack<InputAudioTrack> | undefined
): Promise<number> {
  if (played === undefined) return 0
  const { track, edit } = played
  return Math.max(await track.getFirstTimestamp(), (edit?.startsAt ?? -Infinity) - MAX_PRIMING_SECONDS)
}

/**
 * Writes pictures and sounds in the order of their times. A segment has about six seconds and starts with a key frame.
 */
async function cut ({ pictures, sounds, ...first }: Tracks, segments: SegmentWriter): Promise<void> {
  let { picture, sound } = first
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
      requireSquare(segments)
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
  requireSquare(segments)
  if (durationMs !== null && endsAt * 1000 < MIN_PART * durationMs - 1000) {
    throw new Error(`it ends after ${endsAt} s of ${durationMs / 1000} s`)
  }
}

/** Of the pictures that were written so far. */
function requireSquare ({ pixelAspect }: SegmentWriter): void {
  if (pixelAspect !== 1) throw new Stretched()
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

function faultOf (error: Error & { code?: string }): FileFaultKind | 'system' {
  // An error of the system (EMFILE, or EIO on a network disk) is not a fault of the file.
  if (/^E[A-Z]+$/.test(error.code ?? '')) return 'system'
  if (error instanceof Inflated) return 'inflated'
  if (error instanceof NotCarried) return error.kind
  return error instanceof UnsupportedInputFormatError || NOT_SUPPORTED.test(error.message) ? 'unsupported' : 'damaged'
}

/** The container of a file that mediabunny does not support in all its forms is known. */
function planOf (error: Error): TranscodePlan | undefined {
  if (error instanceof NotCarried) return error.plan
  if (error instanceof UnsupportedInputFormatError) return undefined
  return NOT_SUPPORTED.test(error.message) ? encodeAll(order.type ?? 'video') : undefined
}

main().catch((error: Error) => {
  say({ failed: error.stack ?? error.message, fault: faultOf(error), plan: planOf(error) })
})
