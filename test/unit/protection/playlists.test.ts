import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { SegmentFacts } from '../../../src/protection/hls/packager.js'
import { PackageIndex } from '../../../src/protection/hls/package-index.js'
import type { StreamDescription } from '../../../src/protection/hls/stream-description.js'
import { masterPlaylist, mediaPlaylist } from '../../../src/protection/hls/playlists.js'

const index = fc.array(fc.tuple(fc.integer({ min: 16, max: 1e8 }), fc.integer({ min: 1, max: 90_000 })), {
  minLength: 1,
  maxLength: 50
}) as fc.Arbitrary<SegmentFacts[]>
const NOT_DESCRIBED: StreamDescription = { codecs: '', frameRate: null, size: null }
const indexOf = (segments: SegmentFacts[], description: StreamDescription = NOT_DESCRIBED) =>
  new PackageIndex({ segments, description, zeroTicks: 900_000 })
const sample: SegmentFacts[] = [
  [1600, 6000],
  [3200, 6499],
  [800, 6500],
  [16, 40]
]

/**
 * What RFC 8216 asks of every playlist (4.1): UTF-8 without a BOM, `#EXTM3U` first, lines that end, no control
 * characters.
 */
function checkForm (t: Test, text: string): string[] {
  t.ok(text.startsWith('#EXTM3U\n') && text.endsWith('\n'))
  t.notMatch(text, /[\0-\x09\x0b-\x1f\x7f-\x9f\ufeff]/) // eslint-disable-line no-control-regex
  return text.trimEnd().split('\n')
}

t.test('a media playlist has the tags that RFC 8216 requires, each in its place', async (t) => {
  const lines = checkForm(t, mediaPlaylist(indexOf(sample)))
  for (const tag of [
    'VERSION',
    'TARGETDURATION',
    'MEDIA-SEQUENCE',
    'PLAYLIST-TYPE',
    'ENDLIST',
    'KEY',
    'INDEPENDENT-SEGMENTS'
  ]) {
    t.equal(lines.filter((line) => line.startsWith(`#EXT-X-${tag}`)).length, 1, tag)
  }
  t.ok(lines.includes('#EXT-X-VERSION:3'), 'lengths with a fraction need version 3 (section 7)')
  t.ok(lines.includes('#EXT-X-MEDIA-SEQUENCE:0'), 'the IVs are counted from 0 (5.2)')
  t.ok(lines.includes('#EXT-X-PLAYLIST-TYPE:VOD'))
  t.ok(lines.includes('#EXT-X-KEY:METHOD=AES-128,URI="content.key"'))
  t.equal(lines.at(-1), '#EXT-X-ENDLIST')
  t.ok(
    lines.findIndex((line) => line.startsWith('#EXT-X-KEY')) < lines.findIndex((line) => line.startsWith('#EXTINF')),
    'the key comes before what it opens'
  )
  t.same(
    lines.filter((line) => line.startsWith('#EXTINF')),
    ['#EXTINF:6.000,', '#EXTINF:6.499,', '#EXTINF:6.500,', '#EXTINF:0.040,']
  )
  t.same(
    lines.filter((line) => !line.startsWith('#')),
    ['segment-0.ts', 'segment-1.ts', 'segment-2.ts', 'segment-3.ts']
  )
})

t.test('segments that need the one before are not called independent', async (t) => {
  t.notMatch(
    mediaPlaylist(
      indexOf([
        [1600, 6000],
        [1600, 60_000, 'dependent']
      ])
    ),
    /INDEPENDENT/
  )
})

t.test('no length, rounded, is above the target duration; each has its address; nothing is absolute', async () => {
  fc.assert(
    fc.property(index, (segments) => {
      const lines = mediaPlaylist(indexOf(segments)).trimEnd().split('\n')
      const target = Number(lines.find((line) => line.startsWith('#EXT-X-TARGETDURATION:'))!.split(':')[1])
      const lengths = lines.filter((line) => line.startsWith('#EXTINF:')).map((line) => parseFloat(line.slice(8)))
      const addresses = lines.filter((line) => !line.startsWith('#'))
      return (
        Number.isInteger(target) &&
        target >= 1 &&
        lengths.length === segments.length &&
        addresses.length === segments.length &&
        lengths.every((length) => Math.round(length) <= target) &&
        addresses.every((address) => !/^[/.]|:/.test(address))
      )
    })
  )
})

t.test('the multivariant playlist names one stream, its peak and its size', async (t) => {
  const lines = checkForm(t, masterPlaylist(indexOf(sample, { ...NOT_DESCRIBED, size: { width: 1280, height: 720 } })))
  t.same(lines.slice(1), [
    '#EXT-X-VERSION:3',
    '#EXT-X-STREAM-INF:BANDWIDTH=3940,AVERAGE-BANDWIDTH=2360,RESOLUTION=1280x720',
    'media.m3u8'
  ])
  t.notMatch(masterPlaylist(indexOf(sample)), /RESOLUTION/, 'sound has no size')
  fc.assert(
    fc.property(index, (segments) => {
      const [, peak, average] =
        /BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)/.exec(
          masterPlaylist(indexOf(segments))
        ) ?? []
      return (
        Number(peak) >= Number(average) &&
        segments.every(([bytes, milliseconds]) => (bytes * 8000) / milliseconds <= Number(peak))
      )
    })
  )
})

t.test('the multivariant playlist has CODECS and FRAME-RATE where they are known', async (t) => {
  const size = { width: 1280, height: 720 }
  const film = indexOf(sample, { codecs: 'avc1.64001f,mp4a.40.2', frameRate: 29.97, size })
  t.match(masterPlaylist(film), ',CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970\n')
  t.notMatch(masterPlaylist(indexOf(sample)), /CODECS|FRAME-RATE/)
})

t.test('a day of segments makes playlists', async (t) => {
  const long = indexOf(Array.from({ length: 14_400 }, (): SegmentFacts => [1600, 6000]))
  t.match(masterPlaylist(long), /BANDWIDTH=2134/)
  t.equal(mediaPlaylist(long).match(/segment-/g)!.length, 14_400)
})

t.test('segments lie one after the other, without a gap, and there are no others', async () => {
  fc.assert(
    fc.property(index, (segments) => {
      let next = 0
      const index = indexOf(segments)
      for (const [number, [bytes]] of segments.entries()) {
        const place = index.placeOf(number)
        if (place === undefined || place.start !== next || place.end !== next + bytes - 1) return false
        next += bytes
      }
      return [segments.length, segments.length + 7, -1, 0.5, NaN].every((number) => index.placeOf(number) === undefined)
    })
  )
})
