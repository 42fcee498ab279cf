import type { CaptionTrack } from './schema.js'

const GROUP = 'subs'
/** RFC 8216, section 4.3.4.1. */
const CHARACTERISTICS = 'public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound'

/**
 * Adds tracks to a multivariant playlist (RFC 8216, 4.3.4.1), as one group of all its variants. HLS has no kind for
 * descriptions of the picture, so they are left out.
 */
export function withSubtitles (playlist: string, tracks: CaptionTrack[]): string {
  const shown = tracks.filter(({ kind }) => kind !== 'descriptions')
  if (shown.length === 0) return playlist
  const lines = playlist.split('\n')
  const first = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF:'))
  const variants = lines.map((line) => (line.startsWith('#EXT-X-STREAM-INF:') ? `${line},SUBTITLES="${GROUP}"` : line))
  return [...variants.slice(0, first), ...shown.map((track) => rendition(track, shown)), ...variants.slice(first)].join(
    '\n'
  )
}

function rendition (track: CaptionTrack, all: CaptionTrack[]): string {
  const attributes = [
    'TYPE=SUBTITLES',
    `GROUP-ID="${GROUP}"`,
    `NAME="${nameOf(track, all)}"`,
    `LANGUAGE="${track.language}"`,
    'AUTOSELECT=YES',
    `DEFAULT=${track.isDefault ? 'YES' : 'NO'}`
  ]
  if (track.kind === 'captions') attributes.push(`CHARACTERISTICS="${CHARACTERISTICS}"`)
  return `#EXT-X-MEDIA:${[...attributes, `URI="captions-${track.language}.m3u8"`].join(',')}`
}

/** Names are unique in a group, and a quoted string has no double quotes (RFC 8216, 4.2 and 4.3.4.1.1). */
function nameOf ({ label, language }: CaptionTrack, all: CaptionTrack[]): string {
  const isShared = all.filter((other) => other.label === label).length > 1
  return (isShared ? `${label} (${language})` : label).replaceAll('"', "'")
}

/** Returns the playlist of a track: one segment that is as long as the media. */
export function captionPlaylist (language: string, milliseconds: number): string {
  const seconds = Math.max(1, milliseconds / 1000)
  return [
    '#EXTM3U',
    '#EXT-X-VERSION:3',
    `#EXT-X-TARGETDURATION:${Math.ceil(seconds)}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    `#EXTINF:${seconds.toFixed(3)},`,
    `captions-${language}.vtt`,
    '#EXT-X-ENDLIST',
    ''
  ].join('\n')
}

/**
 * Adds the time in the transport stream, in 1/90,000 s, at which the media is at 0 (RFC 8216, section 3.5). The
 * signature is the first line of the text.
 */
export function withTimestampMap (text: string, zeroTicks: number): string {
  const end = text.indexOf('\n')
  return `${text.slice(0, end)}\nX-TIMESTAMP-MAP=MPEGTS:${zeroTicks},LOCAL:00:00:00.000${text.slice(end)}`
}
