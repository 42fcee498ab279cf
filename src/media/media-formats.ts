/** The containers that are accepted, by our own names. */
export type ContainerName =
  | 'mp4'
  | 'm4v'
  | 'mov'
  | 'avi'
  | 'matroska'
  | 'webm'
  | 'mp3'
  | 'wav'
  | 'adts'
  | 'ogg'
  | 'flac'

/** As a player shows it: rotated, and in square pixels. */
export interface Size {
  width: number | null
  height: number | null
}
export const NO_SIZE: Size = { width: null, height: null }

/**
 * A track of picture or sound. `codec` is ffmpeg's name of it, which is what people search for. A track of sound has no
 * size, and a track of picture has no channels.
 */
export interface Track extends Size {
  kind: 'video' | 'audio'
  codec: string
  /** By ISO 639 or BCP 47, as the file says it; null if the file says none. */
  language: string | null
  channels: number | null
  /** A player may choose it by itself. */
  default: boolean
  /** The codec with its profile by RFC 6381, such as `avc1.640028`; null if unknown. */
  profile?: string | null
  /** Pictures of high dynamic range. */
  hdr?: boolean
}

/** What is in a file: the tracks that play, without cover and chapter pictures. */
export interface Description {
  container: ContainerName
  tracks: Track[]
  /** Of the pictures that play. */
  size: Size
  /** Null if unknown, never 0. */
  durationMs: number | null
}

export interface MediaFormat {
  type: 'video' | 'audio'
  contentType: string
  codecs: string[]
}

/** What a file is, by its content. */
export interface Probed extends MediaFormat {
  tracks: Track[]
  playableEverywhere: boolean | null
  durationMs: number | null
  width: number | null
  height: number | null
}

/** Why a file is refused: the code of a problem, and the format if it is known and not accepted. */
export type Refusal =
  | { code: 'media_encrypted' | 'media_truncated' }
  | { code: 'unsupported_media_format'; format: string }

const videoContainers: Partial<Record<ContainerName, string>> = {
  mp4: 'video/mp4',
  m4v: 'video/x-m4v',
  mov: 'video/quicktime',
  avi: 'video/x-msvideo',
  matroska: 'video/x-matroska',
  webm: 'video/webm'
}
const audioContainers: Partial<Record<ContainerName, string>> = {
  mp4: 'audio/mp4',
  m4v: 'audio/mp4',
  mov: 'audio/mp4',
  matroska: 'audio/x-matroska',
  webm: 'audio/webm',
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  adts: 'audio/aac',
  ogg: 'audio/ogg',
  flac: 'audio/flac'
}

/** Which of the accepted formats a file is; undefined for everything else. */
export function formatOf ({ container, tracks }: Description): MediaFormat | undefined {
  const type = tracks.some((track) => track.kind === 'video') ? 'video' : 'audio'
  const contentType = (type === 'video' ? videoContainers : audioContainers)[container]
  if (contentType === undefined || tracks.length === 0) return undefined
  return { type, contentType, codecs: [...codecsOf(tracks, 'video'), ...codecsOf(tracks, 'audio')] }
}

function codecsOf (tracks: Track[], kind: Track['kind']): string[] {
  return [...new Set(tracks.filter((track) => track.kind === kind).map(({ codec }) => codec))]
}
