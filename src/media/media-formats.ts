/** A track in the prober's result. `format` and `codecId` are MediaInfo's names. */
export interface Track {
  kind: 'video' | 'audio'
  format: string
  codecId: string
  profile: string
  bitDepth: number | null
  bigEndian: boolean
  unsigned: boolean
}

/** A container in the prober's result. `format`, `profile` and `brand` are MediaInfo's names. */
export interface Container {
  format: string
  profile: string
  brand: string
  tracks: Track[]
}

export interface MediaFormat {
  type: 'video' | 'audio'
  contentType: string
  codecs: string[]
}

const videoContainers: Record<string, string> = {
  'MPEG-4': 'video/mp4',
  AVI: 'video/x-msvideo',
  Matroska: 'video/x-matroska',
  WebM: 'video/webm'
}
const audioContainers: Record<string, string> = {
  'MPEG-4': 'audio/mp4',
  'MPEG Audio': 'audio/mpeg',
  Wave: 'audio/wav',
  ADTS: 'audio/aac',
  Ogg: 'audio/ogg',
  FLAC: 'audio/flac'
}

/**
 * Maps MediaInfo's codec names to ffmpeg's names, because people search for ffmpeg's names. Other names change to lower
 * case.
 */
const codecNames: Record<string, string> = {
  AVC: 'h264',
  HEVC: 'hevc',
  'MPEG-4 Visual': 'mpeg4',
  'AC-3': 'ac3',
  'E-AC-3': 'eac3',
  JPEG: 'mjpeg'
}

/**
 * Returns the accepted format of a container, or undefined for any other format. The name of the file has no effect.
 */
export function formatOf (container: Container): MediaFormat | undefined {
  const { tracks } = container
  const type = tracks.some((track) => track.kind === 'video') ? 'video' : 'audio'
  const contentType = type === 'video' ? videoContentType(container) : audioContainers[container.format]
  if (contentType === undefined || tracks.length === 0) return undefined
  if (container.format === 'MPEG Audio' && codecOf(tracks[0]!) !== 'mp3') return undefined
  return { type, contentType, codecs: [...codecsOf(tracks, 'video'), ...codecsOf(tracks, 'audio')] }
}

function videoContentType ({ format, profile, brand }: Container): string | undefined {
  if (format === 'MPEG-4' && profile === 'QuickTime') return 'video/quicktime'
  if (format === 'MPEG-4' && brand.startsWith('M4V')) return 'video/x-m4v'
  return videoContainers[format]
}

function codecsOf (tracks: Track[], kind: Track['kind']): string[] {
  return [...new Set(tracks.filter((track) => track.kind === kind).map(codecOf))]
}

function codecOf (track: Track): string {
  if (track.format === 'MPEG Audio') {
    // In AVI files, only the WAVEFORMATEX tag contains the layer: 0x55 is MPEG Layer 3 (RFC 2361).
    const layer = track.codecId === '55' ? '3' : /Layer (\d)/.exec(track.profile)?.[1]
    return `mp${layer ?? 'a'}`
  }
  if (track.format === 'PCM' && track.bitDepth !== null) {
    const order = track.bitDepth === 8 ? '' : track.bigEndian ? 'be' : 'le'
    return `pcm_${track.unsigned || track.bitDepth === 8 ? 'u' : 's'}${track.bitDepth}${order}`
  }
  return codecNames[track.format] ?? track.format.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')
}

/** The properties of a file, read from its content. */
export interface Probed extends MediaFormat {
  durationMs: number | null
  width: number | null
  height: number | null
}
