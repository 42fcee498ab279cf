import type { Media } from '../media/schema.js'
import type { SegmentFacts } from './packager.js'

/** A segment's place in the blob of its package, first and last byte included. */
export interface SegmentPlace { start: number, end: number }

const indexes = new WeakMap<NonNullable<Media['packaged']>, SegmentFacts[]>()

/** The segments of a package, read once for each time that the facts of its media are. */
export function segmentsOf (packaged: NonNullable<Media['packaged']>): SegmentFacts[] {
  let segments = indexes.get(packaged)
  if (segments === undefined) {
    segments = JSON.parse(packaged.index) as SegmentFacts[]
    indexes.set(packaged, segments)
  }
  return segments
}

/** Where segment `number` (from 0) is; undefined if there is none. */
export function segmentPlace (segments: SegmentFacts[], number: number): SegmentPlace | undefined {
  const segment = segments[number]
  if (segment === undefined) return undefined
  let start = 0
  for (let i = 0; i < number; i++) start += segments[i]![0]
  return { start, end: start + segment[0] - 1 }
}

/** The multivariant playlist (RFC 8216, 4.3.4): one rendition. */
export function masterPlaylist (segments: SegmentFacts[], { width, height }: { width: number | null, height: number | null }): string {
  const peak = Math.max(...segments.map(([bytes, milliseconds]) => bytes * 8000 / Math.max(1, milliseconds)))
  const average = segments.reduce((sum, [bytes]) => sum + bytes, 0) * 8000 / Math.max(1, segments.reduce((sum, [, milliseconds]) => sum + milliseconds, 0))
  const resolution = width === null || height === null ? '' : `,RESOLUTION=${width}x${height}`
  return `#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=${Math.ceil(peak)},AVERAGE-BANDWIDTH=${Math.ceil(average)}${resolution}\nmedia.m3u8\n`
}

/** The media playlist (RFC 8216, 4.3.3): all URIs are relative. The target duration is the longest segment, rounded (4.3.3.1). */
export function mediaPlaylist (segments: SegmentFacts[]): string {
  const target = Math.max(1, ...segments.map(([, milliseconds]) => Math.round(milliseconds / 1000)))
  const lines = segments.flatMap(([, milliseconds], number) => [`#EXTINF:${(milliseconds / 1000).toFixed(3)},`, `segment-${number}.ts`])
  return [
    '#EXTM3U', '#EXT-X-VERSION:3', `#EXT-X-TARGETDURATION:${target}`, '#EXT-X-MEDIA-SEQUENCE:0', '#EXT-X-PLAYLIST-TYPE:VOD',
    ...(segments.some(([,, dependent]) => dependent) ? [] : ['#EXT-X-INDEPENDENT-SEGMENTS']), '#EXT-X-KEY:METHOD=AES-128,URI="content.key"', ...lines, '#EXT-X-ENDLIST', ''
  ].join('\n')
}
