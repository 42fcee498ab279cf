import t from 'tap'
import { captionPlaylist, withSubtitles, withTimestampMap } from '../../../src/captions/hls-captions.js'
import { canonicalLanguage, languageName } from '../../../src/captions/language.js'
import { chaptersVtt } from '../../../src/captions/chapters.js'
import { readCaptions } from '../../../src/captions/read-captions.js'
import type { CaptionTrack } from '../../../src/captions/schema.js'

const CUE = '00:00.000 --> 00:01.000\n'
const read = (text: string | Buffer) => readCaptions(Buffer.from(text), 'vtt')
const faultsOf = (text: string | Buffer) => {
  const file = read(text)
  return 'faults' in file ? file.faults.map(({ line, column, message }) => `${line}:${column} ${message}`) : []
}
const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')

t.test('WebVTT is stored in UTF-8, without its mark and header', async (t) => {
  const text = `WEBVTT\n\n${CUE}Grüße, 世界 🎬\n`
  const sent = {
    plain: Buffer.from(text),
    'a mark': Buffer.from(`\ufeff${text}`),
    CRLF: Buffer.from(text.replaceAll('\n', '\r\n')),
    'UTF-16 LE': utf16(text),
    'UTF-16 BE': utf16(text).swap16(),
    'no line break at the end': Buffer.from(text.trimEnd())
  }
  for (const [name, bytes] of Object.entries(sent)) t.same(read(bytes), { text, cues: 1 }, name)
  t.same(read(`WEBVTT\nKind: captions\nLanguage: en\n\n${CUE}a\n`), { text: `WEBVTT\n\n\n\n${CUE}a\n`, cues: 1 })
  const blocks = ['REGION\nid:a\nwidth:40%', 'STYLE\n::cue { color: red }', 'NOTE x']
  const styled = ['WEBVTT', ...blocks, '00:00.000 --> 00:01.000 region:a\nb\n'].join('\n\n')
  t.same(read(styled), { text: styled, cues: 1 }, 'regions, styles and notes stay')
  t.match(read(`WEBVTT\n\n${CUE}a\0b\n`), { text: /a\ufffdb/ })
})

t.test('faults have line and column', async (t) => {
  const faults: Array<[string | Buffer, string]> = [
    ['1\n00:00:01,000 --> 00:00:02,000\nSRT', '1:1 No valid signature. (File needs to start with "WEBVTT".)'],
    [`WEBVTT\n${CUE}a\n`, '2:1 No blank line after the signature.'],
    ['WEBVTT\n\n00:00.000 --> 00:0x.000\na\n', '3:19 Must be exactly two digits.'],
    ['WEBVTT\n\n00:00.000 --> 00:01.000 line:x\na\n', '3:25 Line position takes a number or percentage.'],
    [`WEBVTT\n\n${CUE}fine\nR&D\n`, '5:4 Incorrect escape.'],
    [`WEBVTT\n\n${CUE}a\n\n00:02.000 --> 00:03.000\n<script>x</script>\n`, '7:9 Incorrect start tag.'],
    [`WEBVTT\n\n00:02.000 --> 00:03.000\na\n\n${CUE}b\n`, '6:10 Start timestamp is not greater than or equal to'],
    [`WEBVTT\n\n${CUE}${'<b>'.repeat(100_000)}`, '1:1 The tags of a cue are nested too deeply.'],
    ['WEBVTT\n', '1:1 The file has no cues.'],
    [Buffer.from([0xc3, 0x28]), '1:1 The file is not UTF-8, and has no byte order mark of UTF-16.'],
    [Buffer.of(0xfe, 0xff, 0xd8, 0x00), '1:1 The file is not UTF-8'],
    [Buffer.of(0xff, 0xfe, 0x41), '1:1 The file is not UTF-8']
  ]
  for (const [text, expected] of faults) {
    const found = faultsOf(text)
    t.ok(found.some((fault) => fault.startsWith(expected)), `${expected}: ${found.join(' | ')}`)
  }
  t.equal(faultsOf(`WEBVTT\n\n${'-->\n'.repeat(1000)}`).length, 50, 'a problem has at most 50 errors')
})

t.test('language tags are canonical, and have a name', async (t) => {
  const tags = { en: 'en', 'PT-br': 'pt-BR', 'zh-hant-TW': 'zh-Hant-TW', 'de-CH-1996': 'de-CH-1996' }
  for (const [tag, canonical] of Object.entries(tags)) t.equal(canonicalLanguage(tag), canonical)
  for (const tag of ['', 'e', 'english language', 'en_US', '../x', 'en"', `en-${'x'.repeat(40)}`]) {
    t.equal(canonicalLanguage(tag), undefined, tag)
  }
  t.equal(languageName('de'), 'Deutsch')
  t.equal(languageName('qaa'), 'qaa')
})

t.test('a master playlist names each track once', async (t) => {
  const track = (language: string, change: Partial<CaptionTrack> = {}): CaptionTrack => ({
    mediaId: 'm',
    language,
    kind: 'subtitles',
    label: language,
    isDefault: false,
    cues: 1,
    sha256: '',
    createdAt: 0,
    updatedAt: 0,
    ...change
  })
  const variants = [1, 2].map((at) => `#EXT-X-STREAM-INF:BANDWIDTH=${at}\n${at}.m3u8\n`)
  const master = `#EXTM3U\n#EXT-X-VERSION:3\n${variants.join('')}`
  t.equal(withSubtitles(master, []), master)
  t.equal(withSubtitles(master, [track('en', { kind: 'descriptions' })]), master)
  const tracks = [track('de', { label: 'A "name"', kind: 'captions' }), track('en', { label: 'x', isDefault: true })]
  const shown = withSubtitles(master, [...tracks, track('fr', { label: 'x' })])
  t.same(shown.split('\n'), [
    '#EXTM3U',
    '#EXT-X-VERSION:3',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="A \'name\'",LANGUAGE="de",AUTOSELECT=YES,DEFAULT=NO,' +
      'CHARACTERISTICS="public.accessibility.transcribes-spoken-dialog,' +
      'public.accessibility.describes-music-and-sound",URI="captions-de.m3u8"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="x (en)",LANGUAGE="en",AUTOSELECT=YES,DEFAULT=YES,' +
      'URI="captions-en.m3u8"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="x (fr)",LANGUAGE="fr",AUTOSELECT=YES,DEFAULT=NO,' +
      'URI="captions-fr.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES="subs"',
    '1.m3u8',
    '#EXT-X-STREAM-INF:BANDWIDTH=2,SUBTITLES="subs"',
    '2.m3u8',
    ''
  ])
  t.match(captionPlaylist('en', 61_500), /TARGETDURATION:62\n[^]*#EXTINF:61\.500,\ncaptions-en\.vtt\n#EXT-X-ENDLIST\n$/)
  t.equal(
    withTimestampMap(`WEBVTT\n\n${CUE}a\n`, 901_920),
    `WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:901920,LOCAL:00:00:00.000\n\n${CUE}a\n`
  )
})

t.test('chapters become WebVTT that the parser accepts', async (t) => {
  const text = chaptersVtt([{ startMs: 0, title: 'A <b> & c --> d' }, { startMs: 3_599_999, title: 'Two' }], 3_600_000)
  t.equal(
    text,
    'WEBVTT\n\n00:00:00.000 --> 00:59:59.999\nA &lt;b&gt; &amp; c --&gt; d\n\n00:59:59.999 --> 01:00:00.000\nTwo\n'
  )
  t.match(read(text), { cues: 2 })
  t.match(read(chaptersVtt([{ startMs: 100 * 3_600_000, title: 'Late' }], null)), { cues: 1 })
})
