import type { PackageIndex } from './package-index.js'

/** Returns the multivariant playlist (RFC 8216, 4.3.4) with one rendition. */
export function masterPlaylist (index: PackageIndex): string {
  const { peak, average } = index.bandwidth()
  const { codecs, frameRate, size } = index.description
  const attributes = [`BANDWIDTH=${peak}`, `AVERAGE-BANDWIDTH=${average}`]
  if (codecs !== '') attributes.push(`CODECS="${codecs}"`)
  if (size !== null) attributes.push(`RESOLUTION=${size.width}x${size.height}`)
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
