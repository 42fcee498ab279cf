import type { InputAudioTrack, InputTrack, InputVideoTrack } from 'mediabunny'
import { mediaTracks } from '../../media/played-tracks.js'
import type { Edit, Edits } from './edits.js'
import { passThrough, toAdts, toAnnexB, type Framing } from './elementary-stream.js'
import type { FileFaultKind } from './file-fault.js'
import type { OpenInput } from './open-input.js'
import type { PackageOrder } from './packager.js'
import { encodeAll, type TranscodePlan } from './transcode-plan.js'
import { paddingOf } from './trim.js'

export interface PlayedTrack<Track> {
  track: Track
  framing: Framing
  edit: Edit | undefined
}
interface Played {
  video: PlayedTrack<InputVideoTrack> | undefined
  audio: (PlayedTrack<InputAudioTrack> & { sampleRate: number }) | undefined
  plan: TranscodePlan
}

/** Something that a transport stream of the file cannot carry; `plan` is how ffmpeg makes it one that does. */
export class NotCarried extends Error {
  readonly kind: FileFaultKind
  readonly plan: TranscodePlan
  constructor (kind: FileFaultKind, plan: TranscodePlan, message: string = kind) {
    super(message)
    this.kind = kind
    this.plan = plan
  }
}

/** Even sizes of a transcoded picture differ from the rounded sizes of its source by less than this. */
const SIZE_TOLERANCE = 3
/** Less than the picture of any film. */
const EPSILON_SECONDS = 0.001

/**
 * Chooses the tracks that a player plays; others are left out. **Throws** {@link NotCarried} where one of them cannot
 * be packaged as it is.
 */
export async function playedTracks (
  { input, facts, edits }: OpenInput,
  { type, hasSound, size }: PackageOrder
): Promise<Played> {
  const played = await mediaTracks(input, facts)
  const video = type === 'audio' ? undefined : played.video
  const { audio } = played
  const plan: TranscodePlan = { endsAt: endOf([video, audio], edits) }
  const faults: FileFaultKind[] = []
  // Tracks with an encoding of Matroska (zlib) are missing here.
  const isMissing = (type === 'video' && video === undefined) || (hasSound === true && audio === undefined)
  if (isMissing) throw new NotCarried('unsupported', encodeAll(type ?? 'video'))
  const framings = { video: passThrough as Framing | undefined, audio: passThrough as Framing | undefined }
  if (video !== undefined) {
    plan.size = { width: await video.getDisplayWidth(), height: await video.getDisplayHeight() }
    const fault = (await videoFault(video)) ?? editFault(video, edits)
    framings.video = fault === undefined ? await videoFraming(video) : undefined
    if (fault !== undefined) faults.push(fault)
    plan.video = planOf(video, fault === undefined && (await isWhole(video, edits)))
  }
  if (audio !== undefined) {
    framings.audio = await audioFraming(audio)
    const fault = framings.audio === undefined ? 'unsupported' : editFault(audio, edits)
    if (fault !== undefined) faults.push(fault)
    plan.audio = planOf(audio, audio.codec === 'aac' && fault === undefined && (await isPadded(audio, edits)))
  }
  if (faults[0] !== undefined) throw new NotCarried(faults[0], plan)
  if (size !== undefined) requireSize(plan.size, size)
  return {
    video: video && { track: video, framing: framings.video!, edit: edits.get(video.id) },
    audio: audio && {
      track: audio,
      framing: framings.audio!,
      edit: edits.get(audio.id),
      sampleRate: await audio.getSampleRate()
    },
    plan
  }
}

function planOf (track: InputTrack | undefined, copy: boolean) {
  return track === undefined ? undefined : { index: track.number - 1, copy }
}

function requireSize (made: TranscodePlan['size'], wanted: NonNullable<TranscodePlan['size']>): void {
  const isRight =
    made !== undefined &&
    Math.abs(made.width - wanted.width) < SIZE_TOLERANCE &&
    Math.abs(made.height - wanted.height) < SIZE_TOLERANCE
  if (isRight) return
  throw new Error(`transcoded to ${made?.width} × ${made?.height}, not to ${wanted.width} × ${wanted.height}`)
}

async function videoFault (track: InputVideoTrack): Promise<FileFaultKind | undefined> {
  if (track.codec !== 'avc') return 'unsupported'
  if ((await track.getRotation()) !== 0 || (await track.getFlip())) return 'turned'
  const { num, den } = await track.getPixelAspectRatio()
  return num === den ? undefined : 'stretched'
}

function editFault (track: InputTrack, edits: Edits): 'edited' | undefined {
  return edits.get(track.id)?.isSingle === false ? 'edited' : undefined
}

/** The end of the last edit, in seconds. Undefined if a track has no edit, or one without an end. */
function endOf (tracks: Array<InputTrack | undefined>, edits: Edits): number | undefined {
  const ends = tracks.flatMap((track) => (track === undefined ? [] : [edits.get(track.id)?.endsAt ?? Infinity]))
  const end = Math.max(...ends)
  return Number.isFinite(end) ? end : undefined
}

/** Returns true if the edit shows the whole track. ffmpeg copies material before an edit, back to a key frame. */
async function isWhole (track: InputTrack, edits: Edits): Promise<boolean> {
  const edit = edits.get(track.id)
  if (edit === undefined) return true
  const first = await track.getFirstTimestamp()
  return first > edit.startsAt - EPSILON_SECONDS && (await track.computeDuration()) < edit.endsAt + EPSILON_SECONDS
}

async function isPadded (track: InputAudioTrack, edits: Edits): Promise<boolean> {
  const edit = edits.get(track.id)
  if (edit === undefined) return true
  const { keepsStart, keepsEnd } = paddingOf(edit, await track.getSampleRate())
  return keepsStart && keepsEnd
}

async function videoFraming (track: InputVideoTrack): Promise<Framing> {
  const description = bytesOf((await track.getDecoderConfig())?.description)
  return description === undefined ? passThrough : toAnnexB(description)
}

/** Undefined for a sound that MPEG-TS can't carry. */
async function audioFraming (track: InputAudioTrack): Promise<Framing | undefined> {
  if (track.codec === 'mp3') return passThrough
  if (track.codec !== 'aac') return undefined
  const description = bytesOf((await track.getDecoderConfig())?.description)
  return description === undefined ? passThrough : toAdts(description)
}

function bytesOf (source: ArrayBufferView | ArrayBufferLike | undefined): Uint8Array | undefined {
  if (source === undefined) return undefined
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source)
}
