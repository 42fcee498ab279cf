import t from 'tap'
import { answerFor, type StreamAnswer, type StreamRequest } from '../../../src/playback/answer.js'

const MADE = Date.UTC(2026, 0, 2, 3, 4, 5)
const NOW = MADE + 3_600_000
const DATE = 'Fri, 02 Jan 2026 03:04:05 GMT'
const ETAG = '"tag"'
const SIZE = 1000
const all = { start: 0, end: 999 }
const part = { start: 10, end: 19 }
const range = 'bytes=10-19'
const past = 'bytes=1000-'

type Expected = [
  status: StreamAnswer['status'],
  body: StreamAnswer['body'],
  contentLength?: string,
  contentRange?: string
]
const whole: Expected = [200, all, '1000']
const some: Expected = [206, part, '10', 'bytes 10-19/1000']
const none: Expected = [304, undefined]
const refused: Expected = [412, undefined]
const never: Expected = [416, undefined, undefined, 'bytes */1000']

const cases: Array<[name: string, request: Partial<StreamRequest>, expected: Expected]> = [
  ['a plain GET', {}, whole],
  ['one range', { range }, some],
  ['an open range', { range: 'bytes=990-' }, [206, { start: 990, end: 999 }, '10', 'bytes 990-999/1000']],
  ['a range of all of it', { range: 'bytes=0-' }, [206, all, '1000', 'bytes 0-999/1000']],
  ['a suffix', { range: 'bytes=-1' }, [206, { start: 999, end: 999 }, '1', 'bytes 999-999/1000']],
  ['past the end', { range: past }, never],
  ['a malformed range', { range: 'bytes=x' }, whole],
  ['several ranges', { range: 'bytes=0-1,4-5' }, whole],
  ['another unit', { range: 'lines=1-2' }, whole],
  ['HEAD', { method: 'HEAD' }, [200, undefined, '1000']],
  ['HEAD with a range', { method: 'HEAD', range }, [200, undefined, '1000']],
  ['HEAD with a range past the end', { method: 'HEAD', range: past }, [200, undefined, '1000']],
  ['HEAD, not modified', { method: 'HEAD', ifNoneMatch: ETAG }, none],
  ['not modified by tag', { ifNoneMatch: ETAG }, none],
  ['not modified by date', { ifModifiedSince: DATE }, none],
  ['If-Match: same tag', { ifMatch: ETAG }, whole],
  ['If-Match: same tag, a range', { range, ifMatch: ETAG }, some],
  ['If-Match: another tag', { ifMatch: '"other"' }, refused],
  ['If-Match: another tag, HEAD', { method: 'HEAD', ifMatch: '"other"' }, refused],
  ['412 before 304', { ifMatch: '"other"', ifNoneMatch: ETAG }, refused],
  ['412 before 416', { range: past, ifMatch: '"other"' }, refused],
  ['If-Match holds, then If-None-Match', { ifMatch: ETAG, ifNoneMatch: ETAG }, none],
  [
    'If-Match holds, an old If-Unmodified-Since beside it',
    { ifMatch: ETAG, ifUnmodifiedSince: 'Thu, 01 Jan 2026 00:00:00 GMT' },
    whole
  ],
  ['changed since', { range, ifUnmodifiedSince: 'Fri, 02 Jan 2026 03:04:04 GMT' }, refused],
  ['unmodified since', { range, ifUnmodifiedSince: DATE }, some],
  ['304 before a range', { range, ifNoneMatch: ETAG }, none],
  ['304 before 416', { range: past, ifNoneMatch: 'W/"tag"' }, none],
  ['304 before a failing If-Range', { range, ifNoneMatch: ETAG, ifRange: '"other"' }, none],
  ['another tag', { ifNoneMatch: '"other"', range }, some],
  ['another tag beats the same date', { ifNoneMatch: '"other"', ifModifiedSince: DATE }, whole],
  ['If-Range: same tag', { range, ifRange: ETAG }, some],
  ['If-Range: weak tag', { range, ifRange: 'W/"tag"' }, whole],
  ['If-Range: another tag', { range, ifRange: '"other"' }, whole],
  ['If-Range: another tag, past the end', { range: past, ifRange: '"other"' }, whole],
  ['If-Range: same tag, past the end', { range: past, ifRange: ETAG }, never],
  ['If-Range: date', { range, ifRange: DATE }, some],
  ['If-Range: another date', { range, ifRange: 'Fri, 02 Jan 2026 03:04:06 GMT' }, whole],
  ['If-Range: rubbish', { range, ifRange: 'x' }, whole],
  ['If-Range without a range', { ifRange: '"other"' }, whole]
]

for (const [name, request, [status, body, length, contentRange]] of cases) {
  t.test(`answers ${status} to ${name}`, async (t) => {
    const answer = answerFor({ method: 'GET', ...request }, SIZE, { etag: ETAG, lastModified: MADE }, NOW)
    t.same(answer, {
      status,
      body,
      headers: {
        'accept-ranges': 'bytes',
        etag: ETAG,
        'last-modified': DATE,
        ...(length !== undefined && { 'content-length': length }),
        ...(contentRange !== undefined && { 'content-range': contentRange })
      }
    })
  })
}

t.test('a date is no strong validator while its minute has not passed', async (t) => {
  const answer = answerFor(
    { method: 'GET', range, ifRange: DATE },
    SIZE,
    { etag: ETAG, lastModified: MADE },
    MADE + 100
  )
  t.equal(answer.status, 200)
})
