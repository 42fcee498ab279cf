import mediaInfoFactory from 'mediainfo.js'
import { MiB } from '../../bytes.js'
import type { FileView } from '../file-view.js'
import { NO_SIZE, type ContainerName, type Description, type Track } from '../media-formats.js'
import { languageOf } from './language.js'
import { isWave } from './picture-free-view.js'

/**
 * How far the parser may read into a WAV file in a row: to its sound, past the text and pictures before it. It would
 * read the sound itself to its end, at 5 s of CPU a GB, and learn nothing more.
 */
const MAX_WAVE_BYTES = 4 * MiB

/** MediaInfo's answer, as far as it is read here: values are strings or numbers, by field and version. */
type Fields = Record<string, string | number | undefined>

const containers: Record<string, ContainerName> = {
  'MPEG-4': 'mp4',
  AVI: 'avi',
  Matroska: 'matroska',
  WebM: 'webm',
  'MPEG Audio': 'mp3',
  Wave: 'wav',
  ADTS: 'adts',
  Ogg: 'ogg',
  FLAC: 'flac'
}

/** ffmpeg's names of codecs by MediaInfo's. Others go in lower case. */
const codecNames: Record<string, string> = {
  AVC: 'h264',
  HEVC: 'hevc',
  'MPEG-4 Visual': 'mpeg4',
  'AC-3': 'ac3',
  'E-AC-3': 'eac3',
  'H.263': 'h263',
  JPEG: 'mjpeg'
}

/** Describes a file by MediaInfo, or says that it is encrypted. Returns undefined for a container of no use. */
export async function readByMediaInfo (view: FileView): Promise<Description | 'encrypted' | undefined> {
  // Each file has a parser of its own, because a hostile file may leave it broken.
  const parser = await mediaInfoFactory({ format: 'object' })
  try {
    // One buffer for all reads: the parser copies it, and new buffers would pile up faster than they are collected.
    let chunk = Buffer.alloc(0)
    const maxBytes = isWave(view) ? MAX_WAVE_BYTES : view.size
    const result = await parser.analyzeData(view.size, (length, position) => {
      // At no bytes the parser returns what it has found so far.
      if (position >= maxBytes) return chunk.subarray(0, 0)
      if (chunk.length < length) chunk = Buffer.allocUnsafeSlow(length)
      const wanted = chunk.subarray(0, length)
      return wanted.subarray(0, view.read(wanted, position))
    })
    return descriptionOf((result.media?.track ?? []) as unknown as Fields[])
  } finally {
    parser.close()
  }
}

function descriptionOf (found: Fields[]): Description | 'encrypted' | undefined {
  const general = found.find((track) => track['@type'] === 'General') ?? {}
  const container = containerOf(general)
  if (container === undefined) return undefined
  const tracks = withDefaults(found.flatMap((track) => trackOf(track) ?? []))
  if (container === 'mp3' && tracks[0]?.codec !== 'mp3') return undefined
  if (found.some((track) => track.Encryption !== undefined)) return 'encrypted'
  const { width, height } = tracks.find(({ kind }) => kind === 'video') ?? NO_SIZE
  return { container, tracks, size: { width, height }, durationMs: milliseconds(general.Duration) }
}

function containerOf (general: Fields): ContainerName | undefined {
  const container = containers[text(general.Format)]
  if (container !== 'mp4') return container
  if (general.Format_Profile === 'QuickTime') return 'mov'
  return text(general.CodecID).startsWith('M4V') ? 'm4v' : 'mp4'
}

/** A track whose container says if it is a default track, or undefined if the container does not say it. */
type FoundTrack = Omit<Track, 'default'> & { default: boolean | undefined }

function trackOf (fields: Fields): FoundTrack | undefined {
  const kind = fields['@type'] === 'Video' ? 'video' : fields['@type'] === 'Audio' ? 'audio' : undefined
  if (kind === undefined || fields.Format === undefined) return undefined
  const common = {
    codec: codecOf(fields),
    language: languageOf(text(fields.Language)),
    default: fields.Default === undefined ? undefined : fields.Default === 'Yes'
  }
  if (kind === 'audio') return { kind, ...common, channels: whole(Number(fields.Channels)), ...NO_SIZE }
  const width = whole(Number(fields.Width) * Number(fields.PixelAspectRatio ?? 1))
  return { kind, ...common, channels: null, width, height: whole(Number(fields.Height)) }
}

/** Where the container does not say it, as in AVI, players choose the first track of a kind. */
function withDefaults (tracks: FoundTrack[]): Track[] {
  return tracks.map((track) => {
    const isFirst = tracks.find(({ kind }) => kind === track.kind) === track
    return { ...track, default: track.default ?? isFirst }
  })
}

function codecOf (fields: Fields): string {
  const format = text(fields.Format)
  if (format === 'MPEG Audio') {
    // In an AVI only the WAVEFORMATEX tag tells the layer: 0x55 is MPEG Layer 3 (RFC 2361).
    const layer = text(fields.CodecID) === '55' ? '3' : /Layer (\d)/.exec(text(fields.Format_Profile))?.[1]
    return `mp${layer ?? 'a'}`
  }
  if (format === 'PCM' && fields.BitDepth !== undefined) return pcmOf(fields)
  return codecNames[format] ?? format.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')
}

function pcmOf (fields: Fields): string {
  const bits = Number(fields.BitDepth)
  if (bits === 8) return 'pcm_u8'
  const order = fields.Format_Settings_Endianness === 'Big' ? 'be' : 'le'
  return `pcm_${fields.Format_Settings_Sign === 'Unsigned' ? 'u' : 's'}${bits}${order}`
}

function text (value: string | number | undefined): string {
  return value === undefined ? '' : String(value)
}

/** Seconds to whole milliseconds; null for what is missing, or no sane length (a hostile header can claim anything). */
function milliseconds (seconds: string | number | undefined): number | null {
  const value = Math.round(Number(seconds) * 1000)
  return Number.isSafeInteger(value) && value > 0 ? value : null
}

/** Null for what is missing, or no sane number of pixels or channels. */
function whole (value: number): number | null {
  const rounded = Math.round(value)
  return rounded > 0 && rounded < 2 ** 31 ? rounded : null
}
