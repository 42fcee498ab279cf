import { createHash } from 'node:crypto'
import t from 'tap'
import {
  entityTag,
  formatHttpDate,
  isNotModified,
  isPreconditionFailed,
  isRangeCurrent,
  type Validators
} from '../../../src/playback/conditional.js'

const MADE = Date.UTC(1994, 10, 6, 8, 49, 37, 500)
const v: Validators = { etag: '"abc"', lastModified: MADE }
const LATER = MADE + 3_600_000
const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT'
const EARLIER = 'Sun, 06 Nov 1994 08:49:36 GMT'
const AFTER = 'Sun, 06 Nov 1994 08:49:38 GMT'

t.test('an entity tag is strong, quoted and of the content', async (t) => {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  t.match(entityTag(hash('a')), /^"[A-Za-z0-9_-]{43}"$/)
  t.equal(entityTag(hash('a')), entityTag(hash('a')))
  t.not(entityTag(hash('a')), entityTag(hash('b')))
})

t.test('dates are written as IMF-fixdate', async (t) => t.equal(formatHttpDate(MADE), DATE))

t.test(
  'If-Match is compared strongly and takes precedence over If-Unmodified-Since (RFC 9110, 13.1.1, 13.1.4)',
  async (t) => {
    const cases: Array<[ifMatch: string | undefined, ifUnmodifiedSince: string | undefined, failed: boolean]> = [
      [undefined, undefined, false],
      ['"abc"', undefined, false],
      ['*', undefined, false],
      [' * ', undefined, false],
      ['"x", "abc"', undefined, false],
      ['"x","y" , "abc"', undefined, false],
      ['W/"abc"', undefined, true],
      ['"x"', undefined, true],
      ['"ABC"', undefined, true],
      ['abc', undefined, true],
      ['', undefined, true],
      ['"x*"', undefined, true],
      ['"abc"', EARLIER, false],
      ['"x"', AFTER, true],
      ['garbage', AFTER, true],
      [undefined, DATE, false],
      [undefined, AFTER, false],
      [undefined, EARLIER, true],
      [undefined, 'Sunday, 06-Nov-94 08:49:36 GMT', true],
      [undefined, 'Sun Nov  6 08:49:36 1994', true]
    ]
    for (const [match, since, failed] of cases) {
      t.equal(isPreconditionFailed(match, since, v), failed, `${match} / ${since}`)
    }
    for (const since of NO_DATES) t.equal(isPreconditionFailed(undefined, since, v), false, since)
  }
)

t.test('If-None-Match is compared weakly and takes precedence (RFC 9110, 13.1.2)', async (t) => {
  const cases: Array<[ifNoneMatch: string | undefined, ifModifiedSince: string | undefined, expected: boolean]> = [
    [undefined, undefined, false],
    ['"abc"', undefined, true],
    ['W/"abc"', undefined, true],
    ['*', undefined, true],
    [' * ', undefined, true],
    ['"x", "abc"', undefined, true],
    ['"x",W/"abc","y"', undefined, true],
    ['"x,y", "abc"', undefined, true],
    ['"abcd"', undefined, false],
    ['abc', undefined, false],
    ['"ABC"', undefined, false],
    ['', undefined, false],
    ['"x*"', undefined, false],
    ['"x"', DATE, false],
    ['"x"', AFTER, false],
    ['garbage', AFTER, false],
    ['"abc"', EARLIER, true]
  ]
  for (const [match, since, expected] of cases) t.equal(isNotModified(match, since, v), expected, `${match} / ${since}`)
})

const NO_DATES = [
  '',
  'garbage',
  'Garbage 2050',
  'Version 2050',
  'Sun, 2050',
  '2050-01-01T00:00:00Z',
  '9999999999',
  'Sun, 06 Nov 2050',
  'Sun, 06 Nov 2050 08:49:37',
  'Sun, 06 Nov 2050 08:49:37 +0200',
  'Sun, 06 Nov 2050 08:49:37 PST',
  'Sun, 6 Nov 2050 08:49:37 GMT',
  'Sun, 06 Nov 2050 25:49:37 GMT',
  'Sun, 32 Nov 2050 08:49:37 GMT',
  'Sun, 06 Foo 2050 08:49:37 GMT',
  `${AFTER}, ${AFTER}`,
  'sun, 06 nov 2050 08:49:37 gmt',
  'Sun, 31 Feb 2050 08:49:37 GMT',
  'Xyz, 06 Nov 2050 08:49:37 GMT'
]

t.test('If-Modified-Since counts to the second, in any of the three forms of a date (13.1.3, 5.6.7)', async (t) => {
  const cases: Array<[since: string, expected: boolean]> = [
    [DATE, true],
    [AFTER, true],
    [EARLIER, false],
    ['Sunday, 06-Nov-94 08:49:37 GMT', true],
    ['Sunday, 06-Nov-94 08:49:36 GMT', false],
    ['Sun Nov  6 08:49:37 1994', true],
    ['Sun Nov  6 08:49:36 1994', false],
    ['Wed Nov 16 08:49:37 1994', true]
  ]
  for (const [since, expected] of cases) t.equal(isNotModified(undefined, since, v), expected, since)
})

t.test('bug: what is no HTTP date was read as one, and answered 304', async (t) => {
  for (const since of NO_DATES) t.equal(isNotModified(undefined, since, v), false, since)
})

t.test('If-Range is compared strongly (13.1.5)', async (t) => {
  const cases: Array<[ifRange: string | undefined, now: number, expected: boolean]> = [
    [undefined, LATER, true],
    ['"abc"', LATER, true],
    [' "abc" ', LATER, true],
    ['W/"abc"', LATER, false],
    ['"abcd"', LATER, false],
    ['"abc", "abc"', LATER, false],
    ['*', LATER, false],
    ['abc', LATER, false],
    ['', LATER, false],
    [DATE, LATER, true],
    ['Sunday, 06-Nov-94 08:49:37 GMT', LATER, true],
    ['Sun Nov  6 08:49:37 1994', LATER, true],
    [EARLIER, LATER, false],
    [AFTER, LATER, false],
    [DATE, MADE, false],
    [DATE, MADE + 500, false]
  ]
  for (const [ifRange, now, expected] of cases) {
    t.equal(isRangeCurrent(ifRange, v, now), expected, `${ifRange} at ${now - MADE}`)
  }
  for (const ifRange of NO_DATES) t.equal(isRangeCurrent(ifRange, v, LATER), false, ifRange)
})
