import {
  ADTS,
  CustomSource,
  FLAC,
  Input,
  MATROSKA,
  MP3,
  MP4,
  OGG,
  QTFF,
  WAVE,
  WEBM,
  type InputFormat,
  type InputTrack,
  type InputVideoTrack
} from 'mediabunny'
import { MiB } from '../../bytes.js'
import type { FileView } from '../file-view.js'
import { NO_SIZE, type ContainerName, type Description, type Size, type Track } from '../media-formats.js'
import { mediaTracks } from '../played-tracks.js'
import { languageOf } from './language.js'
import type { FileFacts } from './file-facts.js'
import { matroskaEnd } from './matroska-end.js'

const containers = new Map<InputFormat, ContainerName>([
  [MP4, 'mp4'],
  [QTFF, 'mov'],
  [MATROSKA, 'matroska'],
  [WEBM, 'webm'],
  [MP3, 'mp3'],
  [WAVE, 'wav'],
  [OGG, 'ogg'],
  [ADTS, 'adts'],
  [FLAC, 'flac']
])
const CACHE_BYTES = 4 * MiB
/** Half of what a probe may take: without a length in a header, mediabunny goes from packet to packet. */
const MAX_CPU_MS = 700
/** 32 bits, all set: unknown (ISO/IEC 14496-12, 8.2.2). */
const UNKNOWN_TICKS = 0xffffffff

const codecNames: Record<string, string> = { avc: 'h264', ulaw: 'pcm_mulaw', alaw: 'pcm_alaw' }

/** As a description, with tracks whose codec mediabunny does not know. */
export interface PacketDescription extends Omit<Description, 'tracks'> {
  tracks: Array<Omit<Track, 'codec'> & { codec: string | null; codecId: string }>
  /** mediabunny leaves out compressed tracks of Matroska. */
  hidesPictures: boolean
}

/** Describes a file by mediabunny, which is what packages it. Returns undefined for a file that it cannot read. */
export async function readByMediabunny (
  view: FileView,
  facts: FileFacts
): Promise<PacketDescription | undefined> {
  const input = new Input({ source: boundedSource(view), formats: [...containers.keys()] })
  try {
    const container = containers.get(await input.getFormat())
    const { iso, matroska } = facts
    const { all: tracks, video } = await mediaTracks(input, iso ?? matroska)
    if (container === undefined || tracks.length === 0) return undefined
    const seconds = iso?.seconds ?? (await secondsOf(input, tracks, view, facts))
    const durationMs = seconds === null ? null : Math.round(seconds * 1000)
    return {
      container: container === 'mp4' && isM4v(view) ? 'm4v' : container,
      tracks: await Promise.all(tracks.map(describeTrack)),
      size: video === undefined ? NO_SIZE : await sizeOf(video),
      hidesPictures: matroska !== undefined && matroska.pictureTracks > (await input.getVideoTracks()).length,
      durationMs: Number.isSafeInteger(durationMs) && durationMs! > 0 ? durationMs : null
    }
  } catch (error) {
    // A refused system call is not the file's fault; all else is.
    if (/^E[A-Z]+$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    return undefined
  } finally {
    input.dispose()
  }
}

function boundedSource (view: FileView): CustomSource {
  const before = process.cpuUsage()
  return new CustomSource({
    getSize: () => view.size,
    read: (start, end) => {
      const { user, system } = process.cpuUsage(before)
      if ((user + system) / 1000 > MAX_CPU_MS) throw new Error('it takes too long')
      const bytes = Buffer.alloc(end - start)
      return bytes.subarray(0, view.read(bytes, start))
    },
    maxCacheSize: CACHE_BYTES,
    handleUnhandledError: () => {}
  })
}

function isM4v (view: FileView): boolean {
  const brand = Buffer.alloc(8)
  view.read(brand, 4)
  return brand.toString('latin1').startsWith('ftypM4V')
}

/** Undefined lengths are measured; a Matroska file is measured in any case, and its times may begin anywhere. */
async function secondsOf (
  input: Input,
  tracks: InputTrack[],
  view: FileView,
  { matroska, ogg, flac }: FileFacts
): Promise<number | null> {
  const format = await input.getFormat()
  if (matroska !== undefined) {
    const end = matroskaEnd(view, matroska.frameTicks)
    if (end !== undefined) {
      return end / (await tracks[0]!.getTimeResolution()) - Math.max(0, await input.getFirstTimestamp(tracks))
    }
  }
  // A walk over the frames of these finds it, in a tenth of the time.
  if (format === MP3 || format === ADTS) return null
  if (ogg !== undefined && ogg.seconds !== null) return ogg.seconds
  const claimed = await input.getDurationFromMetadata(tracks)
  if (claimed !== null && claimed > 0 && !(await isUnknown(claimed, tracks))) return claimed
  if (format === FLAC) return flac?.seconds ?? null
  return await input.computeDuration(tracks).catch(() => null)
}

async function isUnknown (seconds: number, tracks: InputTrack[]): Promise<boolean> {
  const resolutions = await Promise.all(tracks.map((track) => track.getTimeResolution()))
  return resolutions.some((resolution) => Math.round(seconds * resolution) >= UNKNOWN_TICKS)
}

async function sizeOf (track: InputVideoTrack): Promise<Size> {
  const [width, height] = [await track.getDisplayWidth(), await track.getDisplayHeight()]
  return { width: wholeOf(width), height: wholeOf(height) }
}

async function describeTrack (track: InputTrack): Promise<PacketDescription['tracks'][number]> {
  const codec = await track.getCodec()
  const common = {
    codec: codec === null ? null : codecOf(codec),
    codecId: String(await track.getInternalCodecId()).toLowerCase(),
    profile: await track.getCodecParameterString(),
    language: languageOf(await track.getLanguageCode()),
    default: (await track.getDisposition()).default
  }
  if (track.isVideoTrack()) {
    const hdr = await track.hasHighDynamicRange()
    return { kind: 'video', ...common, hdr, channels: null, ...(await sizeOf(track)) }
  }
  const channels = track.isAudioTrack() ? wholeOf(await track.getNumberOfChannels()) : null
  return { kind: 'audio', ...common, channels, ...NO_SIZE }
}

/** Null for what is unknown. mediabunny has no number of channels for a codec that it does not know. */
function wholeOf (value: number): number | null {
  const whole = Math.round(value)
  return whole > 0 && whole < 2 ** 31 ? whole : null
}

/** ffmpeg's name of a codec: `pcm-s16` is little endian, and one byte has no order. */
function codecOf (codec: string): string {
  const pcm = /^pcm-([suf])(\d+)(be)?$/.exec(codec)
  if (pcm === null) return codecNames[codec] ?? codec
  const [, sign, bits, big] = pcm
  return `pcm_${sign}${bits}${bits === '8' ? '' : (big ?? 'le')}`
}
