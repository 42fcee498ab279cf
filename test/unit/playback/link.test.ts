import fc from 'fast-check'
import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import {
  isLinkQuery,
  linkBornAt,
  newLinkId,
  signLink,
  verifyLink,
  type LinkFacts,
  type LinkPurpose
} from '../../../src/playback/link.js'
import type { Keyring, RingKey } from '../../../src/secrets/keyring.js'

const ringKey = (id: string): RingKey => ({ id, key: randomBytes(32) })
const ring = (...keys: [RingKey, ...RingKey[]]): Keyring => ({
  current: keys[0],
  ids: keys.map(({ id }) => id),
  find: (id) => keys.find((key) => key.id === id)
})

const older = ringKey('older-_1')
const newer = ringKey('newer-_2')
const keys = ring(newer, older)
const MEDIA = '019377a4-3f00-7000-8000-000000000000'
const EXP = 1_764_000_000
const facts: LinkFacts = {
  mediaId: MEDIA,
  expiresAt: EXP,
  generation: 3,
  linkId: 'b0b1b2b3-0000-4000-8000-000000000001',
  subject: '019377a4-3f00-7000-8000-00000000000a'
}
const query = signLink(facts, 'stream', keys)
const NOW = EXP * 1000 - 1
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const invalid = { ok: false, reason: 'invalid' }

t.test('a link says what was signed, in one canonical order', async (t) => {
  t.match(
    query,
    /^exp=1764000000&gen=3&kid=newer-_2&lid=b0b1b2b3-0000-4000-8000-000000000001&sub=019377a4-3f00-7000-8000-00000000000a&sig=[A-Za-z0-9_-]{43}$/
  )
  t.same(verifyLink(MEDIA, query, 'stream', keys, NOW), { ok: true, facts })
  t.match(newLinkId(0), /^[0-9a-f-]{36}$/)
  t.not(newLinkId(0), newLinkId(0))
  t.equal(linkBornAt(newLinkId(1_796_000_000_123)), 1_796_000_000_123)
  t.equal(linkBornAt('4bf1e2a0-0000-4000-8000-000000000000'), 0, 'one that was made before ids said it')
})

t.test('any link signed is verified', async () => {
  fc.assert(
    fc.property(
      fc.uuid(),
      fc.integer({ min: 1, max: 999_999_999_999 }),
      fc.integer({ min: 1, max: 2_147_483_647 }),
      fc.uuid(),
      fc.oneof(fc.constant('anon'), fc.uuid()),
      (mediaId, expiresAt, generation, linkId, subject) => {
        const made = { mediaId, expiresAt, generation, linkId, subject }
        const verdict = verifyLink(mediaId, signLink(made, 'stream', keys), 'stream', keys, 0)
        return verdict.ok && JSON.stringify(verdict.facts) === JSON.stringify(made)
      }
    )
  )
})

t.test('a link lives until the second it names, not in it', async (t) => {
  const moments: Array<[now: number, ok: boolean]> = [
    [0, true],
    [EXP * 1000 - 1000, true],
    [EXP * 1000 - 1, true],
    [EXP * 1000, false],
    [EXP * 1000 + 1, false],
    [EXP * 1000 + 86_400_000, false]
  ]
  for (const [now, ok] of moments) {
    const verdict = verifyLink(MEDIA, query, 'stream', keys, now)
    t.equal(verdict.ok, ok, `at ${now - EXP * 1000} ms`)
    if (!verdict.ok) t.equal(verdict.reason, 'expired')
  }
})

t.test('only a genuine link is called expired', async (t) => {
  const forged = query.replace('gen=3', 'gen=4')
  t.same(verifyLink(MEDIA, forged, 'stream', keys, EXP * 1000 + 1), invalid)
})

t.test('keys rotate by their id', async (t) => {
  const byOlder = signLink(facts, 'stream', ring(older))
  t.ok(verifyLink(MEDIA, byOlder, 'stream', keys, NOW).ok, 'the previous key still verifies')
  t.match(signLink(facts, 'stream', keys), /kid=newer-_2/, 'the current key signs')
  t.same(verifyLink(MEDIA, byOlder, 'stream', ring(newer), NOW), invalid, 'a key that is gone')
  t.same(
    verifyLink(MEDIA, byOlder.replace('kid=older-_1', 'kid=newer-_2'), 'stream', keys, NOW),
    invalid,
    'the name of another key'
  )
  t.same(
    verifyLink(MEDIA, byOlder, 'stream', ring({ ...newer, id: older.id }), NOW),
    invalid,
    'another key of the same name'
  )
})

t.test('a link opens one media for one purpose', async (t) => {
  for (const other of [randomUUID(), MEDIA.toUpperCase(), `${MEDIA} `, '', `${MEDIA}\n${EXP}`]) {
    t.same(verifyLink(other, query, 'stream', keys, NOW), invalid, JSON.stringify(other))
  }
  t.same(verifyLink(MEDIA, query, 'playlist' as LinkPurpose, keys, NOW), invalid)
  t.same(verifyLink(MEDIA, signLink(facts, 'playlist' as LinkPurpose, keys), 'stream', keys, NOW), invalid)
})

t.test('no other last character of the signature is taken, unused bits or not', async (t) => {
  const last = query.at(-1)!
  const taken = [...BASE64URL].filter(
    (character) => verifyLink(MEDIA, query.slice(0, -1) + character, 'stream', keys, NOW).ok
  )
  t.same(taken, [last])
})

t.test('no queries but those we write are links', async (t) => {
  const bad = [
    '',
    '?',
    query + '&',
    '&' + query,
    query + '=',
    query + '\n',
    '\n' + query,
    query + '#',
    query + '&t=1',
    query + '&exp=' + EXP,
    query + '&' + query,
    `${query}?${query}`,
    query.replaceAll('&', ';'),
    query.replace('exp=', 'exp=0'),
    query.replace('exp=', 'exp=+'),
    query.replace('exp=', 'exp='.repeat(2)),
    query.replace('exp=', 'exp[]='),
    query.replace(`exp=${EXP}`, 'exp=1.764e9'),
    query.replace('gen=3', 'gen=03'),
    query.replace('gen=3', 'gen=٣'),
    query.replace('gen=3', 'gen=3.0'),
    query.replace('gen=3', 'gen=-3'),
    query.replace(/sub=[^&]*/, 'sub=anon'),
    query.replace(/sub=[^&]*/, 'sub='),
    query.replace(/sig=.*/, 'sig='),
    query.replace(/&sig=.*/, ''),
    query.replace(/kid=[^&]*/, 'kid=__proto_'),
    query.toUpperCase(),
    query + '%00',
    query + '%0a',
    query.replace(/sig=.*/, `sig=${'A'.repeat(43)}`),
    query + '==',
    query.replace(/-/g, '+')
  ]
  for (const one of bad.filter((one) => one !== query)) {
    t.same(verifyLink(MEDIA, one, 'stream', keys, NOW), invalid, JSON.stringify(one))
  }
})

// Every mutation below gives a query that differs from the signed one, and none may be taken.
const refused = (mutated: string) => mutated === query || !verifyLink(MEDIA, mutated, 'stream', keys, NOW).ok
const at = fc.nat(query.length - 1)
const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3 }),
  fc.constantFrom(...BASE64URL, '&', '=', '%', '+', '\0', '\r\n', ' ', '#', ';', '０', 'é')
)
const pairs = query.split('&')
const encode = (character: string, upper: boolean) =>
  `%${upper ? character.charCodeAt(0).toString(16).toUpperCase() : character.charCodeAt(0).toString(16)}`

const mutations: Record<string, fc.Arbitrary<string>> = {
  'a changed character': fc.tuple(at, text).map(([index, by]) => query.slice(0, index) + by + query.slice(index + 1)),
  'an inserted text': fc
    .tuple(fc.nat(query.length), text)
    .map(([index, by]) => query.slice(0, index) + by + query.slice(index)),
  'a deleted stretch': fc
    .tuple(at, fc.integer({ min: 1, max: 60 }))
    .map(([index, length]) => query.slice(0, index) + query.slice(index + length)),
  'a doubled character': at.map((index) => query.slice(0, index + 1) + query.slice(index)),
  'swapped characters': fc
    .tuple(at, at)
    .map(([a, b]) =>
      [...query].map((character, index) => (index === a ? query[b] : index === b ? query[a] : character)).join('')
    ),
  'an encoded character': fc
    .tuple(at, fc.boolean())
    .map(([index, upper]) => query.slice(0, index) + encode(query[index]!, upper) + query.slice(index + 1)),
  'encoded characters': fc
    .array(at, { minLength: 1 })
    .map((places) =>
      [...query].map((character, index) => (places.includes(index) ? encode(character, true) : character)).join('')
    ),
  'another case': at.map(
    (index) =>
      query.slice(0, index) +
      (query[index]! === query[index]!.toLowerCase() ? query[index]!.toUpperCase() : query[index]!.toLowerCase()) +
      query.slice(index + 1)
  ),
  'parameters left out, doubled or in another order': fc
    .array(fc.constantFrom(...pairs), { maxLength: 8 })
    .map((some) => some.join('&')),
  'an added parameter': fc
    .tuple(fc.nat(6), fc.string(), fc.string())
    .map(([index, name, value]) =>
      [
        ...pairs.slice(0, index),
        `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
        ...pairs.slice(index)
      ].join('&')
    ),
  'values of another link': fc
    .tuple(fc.integer({ min: 0, max: 5 }), fc.uuid(), fc.integer({ min: 1, max: 2e9 }))
    .map(([index, lid, exp]) => {
      const other = signLink(
        { ...facts, linkId: lid, expiresAt: exp, subject: 'anon', generation: 4 },
        'stream',
        ring(older)
      ).split('&')
      return pairs.map((pair, place) => (place === index ? other[place] : pair)).join('&')
    })
}

for (const [name, arbitrary] of Object.entries(mutations)) {
  t.test(`no link is taken with ${name}`, async () => fc.assert(fc.property(arbitrary, refused), { numRuns: 2000 }))
}

t.test('every single-character change and deletion is refused', async (t) => {
  let taken = 0
  for (let index = 0; index < query.length; index++) {
    for (const character of ['', ...BASE64URL, '&', '=', '%', '.']) {
      if (!refused(query.slice(0, index) + character + query.slice(index + 1))) taken++
    }
  }
  t.equal(taken, 0)
})

t.test('a query is meant as a link when it names any parameter of one', async (t) => {
  const cases: Array<[query: string, expected: boolean]> = [
    ['', false],
    ['t=1', false],
    ['expires=1', false],
    ['xsig=1', false],
    ['sigx', false],
    ['EXP=1', false],
    ['a=exp', false],
    ['a=sig&b=lid', false],
    ['&&&', false],
    ['=exp', false],
    ['exp=1', true],
    ['gen', true],
    ['kid=', true],
    ['lid=x', true],
    ['sub=anon', true],
    ['sig=x', true],
    ['t=1&sig=x', true],
    ['sig=x&t=1', true],
    ['exp=1=2', true],
    ['&exp=1', true],
    [query, true]
  ]
  for (const [one, expected] of cases) t.equal(isLinkQuery(one), expected, one)
})
