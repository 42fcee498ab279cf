import type { PackageIndex } from './package-index.js'

interface Size {
  width: number | null
  height: number | null
}

/** Returns the multivariant playlist (RFC 8216, 4.3.4) with one rendition. */
export function masterPlaylist (index: PackageIndex, { width, height }: Size): string {
  const { peak, average } = index.bandwidth()
  const { codecs, frameRate } = index.description
  const attributes = [`BANDWIDTH=${peak}`, `AVERAGE-BANDWIDTH=${average}`]
  if (codecs !== '') attributes.push(`CODECS="${codecs}"`)
  if (width !== null && height !== null) attributes.push(`RESOLUTION=${width}x${height}`)
  if (frameRate !== null) attributes.push(`FRAME-RATE=${frameRate.toFixed(3)}`)
  return ['#EXTM3U', '#EXT-X-VERSION:3', `#EXT-X-STREAM-INF:${attributes.join(',')}`, 'media.m3u8', ''].join('\n')
}

/**
 * Returns the media playlist (RFC 8216, 4.3.3), with relative URIs. The target duration is the duration of the longest
 * segment, rounded (4.3.3.1).
 */
export function mediaPlaylist ({ durations, independent }: PackageIndex): string {
  const lines = [
    '#EXTM3U',
    '#EXT-X-VERSION:3',
    `#EXT-X-TARGETDURATION:${targetDuration(durations)}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD'
  ]
  if (independent) lines.push('#EXT-X-INDEPENDENT-SEGMENTS')
  lines.push('#EXT-X-KEY:METHOD=AES-128,URI="content.key"')
  for (const [number, milliseconds] of durations.entries()) {
    lines.push(`#EXTINF:${(milliseconds / 1000).toFixed(3)},`, `segment-${number}.ts`)
  }
  return [...lines, '#EXT-X-ENDLIST', ''].join('\n')
}

function targetDuration (durations: Uint32Array): number {
  return durations.reduce((longest, milliseconds) => Math.max(longest, Math.round(milliseconds / 1000)), 1)
}
