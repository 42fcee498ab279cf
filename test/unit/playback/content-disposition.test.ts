import t from 'tap'
import { inlineDisposition } from '../../../src/playback/content-disposition.js'

const cases: Array<[title: string, expected: string]> = [
  ['Talk', 'inline; filename="Talk.mp4"'],
  ['a b', 'inline; filename="a b.mp4"'],
  ['Für Élise', 'inline; filename="Fur Elise.mp4"; filename*=UTF-8\'\'F%C3%BCr%20%C3%89lise.mp4'],
  ['a "quoted" \\ name', 'inline; filename="a _quoted_ _ name.mp4"'],
  ['../../etc/passwd', 'inline; filename=".._.._etc_passwd.mp4"'],
  ['100%', 'inline; filename="100_.mp4"; filename*=UTF-8\'\'100%25.mp4'],
  ["(it's)*ü", "inline; filename=\"(it's)_u.mp4\"; filename*=UTF-8''%28it%27s%29_%C3%BC.mp4"],
  ['日本', 'inline; filename=".mp4"; filename*=UTF-8\'\'%E6%97%A5%E6%9C%AC.mp4'],
  ['😀', 'inline; filename=".mp4"; filename*=UTF-8\'\'%F0%9F%98%80.mp4']
]

t.test('a title becomes a file name by RFC 6266', async (t) => {
  for (const [title, expected] of cases) t.equal(inlineDisposition(title, 'video/mp4'), expected, title)
  t.equal(inlineDisposition('x', 'audio/wav'), 'inline; filename="x.wav"')
})

t.test('bug: full-width quotes and slashes in a title became plain ones, and ended the file name', async (t) => {
  for (const title of ['a＂; filename=＂evil.exe', 'a＼＂', '．．／x', 'a＊：？＜＞｜b', '％41']) {
    const [, plain] =
      /^inline; filename="([^"\\]*)"; filename\*=UTF-8''[\w.%~!-]+$/.exec(inlineDisposition(title, 'video/mp4')) ?? []
    t.ok(plain, inlineDisposition(title, 'video/mp4'))
    t.notMatch(plain, /[/%:*?<>|]/)
  }
})
