import t from 'tap'
import { readCaptions } from '../../../src/captions/read-captions.js'
import { srtToVtt } from '../../../src/captions/srt.js'

const srt = (text: string) => readCaptions(Buffer.from(text), 'srt')
const faultsOf = (text: string) => {
  const file = srt(text)
  return 'faults' in file ? file.faults.map(({ line, message }) => `${line} ${message}`) : []
}

t.test('SRT of any usual form becomes WebVTT', async (t) => {
  const cue = '00:00:01.500 --> 00:00:02.000'
  const forms: Array<[name: string, srt: string, expected: string]> = [
    ['plain', '1\n00:00:01,500 --> 00:00:02,000\nHello\n', `${cue}\nHello`],
    ['CRLF', '1\r\n00:00:01,500 --> 00:00:02,000\r\nHello\r\n\r\n', `${cue}\nHello`],
    ['CR', '1\r00:00:01,500 --> 00:00:02,000\rHello', `${cue}\nHello`],
    ['no counter, short units', '0:0:1,5 --> 0:00:02.000\nHello', `${cue}\nHello`],
    ['no hours', '00:01,500 --> 00:02,000\nHello', `${cue}\nHello`],
    ['a position after the times', '1\n00:00:01,500 --> 00:00:02,000 X1:1 X2:2\nHello', `${cue}\nHello`],
    ['spaces around lines', ' 1 \n 00:00:01,500-->00:00:02,000 \n  Hello  ', `${cue}\nHello`],
    ['an override', '1\n00:00:01,500 --> 00:00:02,000\n{\\an8}Hello', `${cue}\nHello`],
    ['fonts', '1\n00:00:01,500 --> 00:00:02,000\n<font color="red">Hello</font>', `${cue}\nHello`],
    ['tags over lines', '1\n00:00:01,500 --> 00:00:02,000\n<I>Hello\nyou</I>', `${cue}\n<i>Hello\nyou</i>`],
    ['a tag without its end', '1\n00:00:01,500 --> 00:00:02,000\n<i>Hello', `${cue}\nHello`],
    ['markup', '1\n00:00:01,500 --> 00:00:02,000\nR&D <script> a > b', `${cue}\nR&amp;D &lt;script&gt; a &gt; b`],
    ['an empty line in a text', '1\n00:00:01,500 --> 00:00:02,000\nHello\n\nyou', `${cue}\nHello\n&nbsp;\nyou`],
    ['a number as text', '1\n00:00:01,500 --> 00:00:02,000\n42', `${cue}\n42`]
  ]
  for (const [name, text, expected] of forms) {
    const file = srt(text)
    const shown = 'text' in file ? file.text.trimEnd() : JSON.stringify(file.faults)
    t.ok(shown.endsWith(`\n${expected}`), `${name}: ${shown}`)
  }
  const two = srt('1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:02,000 --> 00:00:03,000\nTwo')
  t.match(two, { cues: 2 }, 'cues without an empty line between them')
})

t.test('faults of SRT have the line of the file that was sent', async (t) => {
  const good = '1\n00:00:01,000 --> 00:00:02,000\nHello\n\n'
  t.same(faultsOf(`${good}2\n00:00:03 --> 00:00:04\nYou`), ['6 No decimal separator (".") found.'])
  t.same(faultsOf(`${good}00:00:03 --> 00:00:04\nYou`), ['5 No decimal separator (".") found.'])
  t.same(faultsOf('1\n00:00:03,000 --> 00:00:02,000\nYou'), ['2 End timestamp is not greater than start timestamp.'])
  t.same(faultsOf('1\n00:99:03,000 --> 00:99:04,000\nYou').length, 1)
  t.match(faultsOf('only text'), ['1 Cue identifier cannot be standalone.'])
  t.same(faultsOf(''), ['1 The file has no cues.'])
})

t.test('a text of many lines is converted', async (t) => {
  const lines = srtToVtt(`1\n00:00:01,000 --> 00:00:02,000\n${'a\n'.repeat(200_000)}`).split('\n')
  t.equal(lines.length, 200_005)
})
