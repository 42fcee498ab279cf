import t from 'tap'
import { parseRange } from '../../../src/playback/byte-range.js'

const cases: Array<[header: string | undefined, size: number, expected: ReturnType<typeof parseRange>]> = [
  [undefined, 100, 'ignored'],
  ['bytes=0-0', 100, { start: 0, end: 0 }],
  ['bytes=0-1', 100, { start: 0, end: 1 }],
  ['bytes=0-', 100, { start: 0, end: 99 }],
  ['bytes=10-19', 100, { start: 10, end: 19 }],
  ['bytes=99-', 100, { start: 99, end: 99 }],
  ['bytes=90-1000', 100, { start: 90, end: 99 }],
  ['bytes=-1', 100, { start: 99, end: 99 }],
  ['bytes=-100', 100, { start: 0, end: 99 }],
  ['bytes=-1000', 100, { start: 0, end: 99 }],
  ['BYTES=5-6', 100, { start: 5, end: 6 }],
  ['bytes= 5-6 ', 100, { start: 5, end: 6 }],
  ['bytes=0-99999999999999999999999', 100, { start: 0, end: 99 }],
  ['bytes=100-', 100, 'unsatisfiable'],
  ['bytes=100-200', 100, 'unsatisfiable'],
  ['bytes=99999999999999999999999-', 100, 'unsatisfiable'],
  ['bytes=-0', 100, 'unsatisfiable'],
  ['bytes=5-4', 100, 'ignored'],
  ['bytes=-', 100, 'ignored'],
  ['bytes=', 100, 'ignored'],
  ['bytes=a-b', 100, 'ignored'],
  ['bytes=1-2-3', 100, 'ignored'],
  ['bytes=0x1-0x2', 100, 'ignored'],
  ['bytes=+1-2', 100, 'ignored'],
  ['bytes=1.5-2', 100, 'ignored'],
  ['bytes 0-1', 100, 'ignored'],
  ['items=0-1', 100, 'ignored'],
  ['', 100, 'ignored'],
  ['bytes=0-0,2-3', 100, 'ignored'],
  ['bytes=0-0, -1', 100, 'ignored'],
  ['bytes=٣-٤', 100, 'ignored']
]

t.test('a Range header is read as RFC 9110 says', async (t) => {
  for (const [header, size, expected] of cases) t.same(parseRange(header, size), expected, `${header} of ${size}`)
})
