import fc from 'fast-check'
import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { signLink, signToken, verifyLink, verifyToken, type LinkFacts } from '../../../src/playback/link.js'
import { newContentKey, openContentKey, sealContentKey } from '../../../src/protection/content-keys.js'
import { loadSecrets, type Keyring, type RingKey } from '../../../src/secrets/keyring.js'

const ringKey = (id: string): RingKey => ({ id, key: randomBytes(32) })
const ring = (...keys: [RingKey, ...RingKey[]]): Keyring => ({
  current: keys[0],
  ids: keys.map(({ id }) => id),
  find: (id) => keys.find((key) => key.id === id)
})
const older = ringKey('older-_1')
const keys = ring(ringKey('newer-_2'), older)
const MEDIA = '019377a4-3f00-7000-8000-000000000000'

t.test('a content key is 16 random bytes, and sealed under a fresh nonce each time', async (t) => {
  const key = newContentKey()
  t.equal(key.length, 16)
  t.notSame(key, newContentKey())
  const [one, other] = [sealContentKey(key, MEDIA, keys), sealContentKey(key, MEDIA, keys)]
  t.not(one, other)
  t.match(one, /^newer-_2\.[A-Za-z0-9_-]{59}$/)
  for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) {
    t.notOk(one.includes(key.toString(form).replace(/=+$/, '')), `it is not there as ${form}`)
  }
  t.same(openContentKey(one, MEDIA, keys), key)
  t.same(openContentKey(other, MEDIA, keys), key)
})

t.test('a previous secret still opens what it sealed; without it nothing does', async (t) => {
  const key = newContentKey()
  const sealed = sealContentKey(key, MEDIA, ring(older))
  t.same(openContentKey(sealed, MEDIA, keys), key)
  t.throws(() => openContentKey(sealed, MEDIA, ring(keys.current)), {
    code: 'secret_key_missing',
    cause: { message: /SECRET_KEYS_PREVIOUS/ }
  })
  t.throws(() => openContentKey(sealed, MEDIA, ring(ringKey('older-_1'))), 'another key of the same id')
})

t.test('a sealed key opens only for its own media, and not under the link sub-key', async (t) => {
  const sealed = sealContentKey(newContentKey(), MEDIA, keys)
  t.throws(() => openContentKey(sealed, randomUUID(), keys))
  const secrets = loadSecrets({ secretKey: 'x'.repeat(40), secretKeysPrevious: [], dataDir: '' })
  const made = sealContentKey(newContentKey(), MEDIA, secrets.keyring('media'))
  for (const purpose of ['link', 'jwt', 'viewer-address'] as const) {
    t.throws(() => openContentKey(made, MEDIA, secrets.keyring(purpose)), purpose)
  }
})

t.test('a sealed key that was altered never opens', async () => {
  const sealed = sealContentKey(newContentKey(), MEDIA, keys)
  const [id, text] = sealed.split('.') as [string, string]
  const opens = (stored: string) => {
    try {
      openContentKey(stored, MEDIA, keys)
      return true
    } catch {
      return false
    }
  }
  fc.assert(
    fc.property(fc.nat(43), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(text, 'base64url')
      bytes[at]! ^= flip
      return !opens(`${id}.${bytes.toString('base64url')}`)
    }),
    { numRuns: 2000 }
  )
  fc.assert(
    fc.property(fc.string(), (any) => !opens(any) && !opens(`${id}.${any}`)),
    { numRuns: 2000 }
  )
  fc.assert(
    fc.property(
      fc.nat(43),
      (length) => !opens(`${id}.${Buffer.from(text, 'base64url').subarray(0, length).toString('base64url')}`)
    )
  )
})

const EXP = 1_764_000_000
const NOW = EXP * 1000 - 1
const facts: LinkFacts = {
  mediaId: MEDIA,
  expiresAt: EXP,
  generation: 3,
  linkId: 'b0b1b2b3-0000-4000-8000-000000000001',
  subject: '019377a4-3f00-7000-8000-00000000000a'
}
const token = signToken(facts, 'hls', keys)
const invalid = { ok: false, reason: 'invalid' }

t.test('a token is one path segment that says what was signed, until the second it names', async (t) => {
  t.match(token, /^[A-Za-z0-9_.-]+$/)
  t.same(verifyToken(MEDIA, token, 'hls', keys, NOW), { ok: true, facts })
  t.same(verifyToken(MEDIA, token, 'hls', keys, EXP * 1000), { ok: false, reason: 'expired' })
  t.same(verifyToken(randomUUID(), token, 'hls', keys, NOW), invalid)
  t.same(verifyToken(MEDIA, token, 'hls', ring(older), NOW), invalid)
  t.same(
    verifyToken(MEDIA, signToken(facts, 'hls', ring(older)), 'hls', keys, NOW),
    { ok: true, facts },
    'a previous secret'
  )
})

t.test('the values of a stream link are no HLS token, and the reverse', async (t) => {
  t.same(verifyToken(MEDIA, signToken(facts, 'stream', keys), 'hls', keys, NOW), invalid)
  t.same(verifyLink(MEDIA, signLink(facts, 'hls', keys), 'stream', keys, NOW), invalid)
  const names = ['exp', 'gen', 'kid', 'lid', 'sub', 'sig']
  t.same(
    verifyLink(
      MEDIA,
      token
        .split('.')
        .map((value, index) => `${names[index]}=${value}`)
        .join('&'),
      'stream',
      keys,
      NOW
    ),
    invalid
  )
  t.same(verifyToken(MEDIA, signLink(facts, 'hls', keys).replaceAll('&', '.'), 'hls', keys, NOW), invalid)
})

const at = fc.nat(token.length - 1)
const text = fc.oneof(fc.string({ minLength: 1, maxLength: 3 }), fc.constantFrom(...'0aZ-_.&=%\0\n/ é'))
const parts = token.split('.')
const mutations: Record<string, fc.Arbitrary<string>> = {
  'a changed character': fc.tuple(at, text).map(([index, by]) => token.slice(0, index) + by + token.slice(index + 1)),
  'an inserted text': fc
    .tuple(fc.nat(token.length), text)
    .map(([index, by]) => token.slice(0, index) + by + token.slice(index)),
  'a deleted stretch': fc
    .tuple(at, fc.integer({ min: 1, max: 60 }))
    .map(([index, length]) => token.slice(0, index) + token.slice(index + length)),
  'parts left out, doubled or in another order': fc
    .array(fc.constantFrom(...parts), { maxLength: 8 })
    .map((some) => some.join('.')),
  'another case': at.map((index) => token.slice(0, index) + token[index]!.toUpperCase() + token.slice(index + 1)),
  'values of another token': fc
    .tuple(fc.nat(5), fc.uuid(), fc.integer({ min: 1, max: 2e9 }))
    .map(([index, linkId, expiresAt]) => {
      const other = signToken(
        { ...facts, linkId, expiresAt, subject: 'anon', generation: 4 },
        'hls',
        ring(older)
      ).split('.')
      return parts.map((part, place) => (place === index ? other[place] : part)).join('.')
    }),
  'any text': fc.string()
}
for (const [name, arbitrary] of Object.entries(mutations)) {
  t.test(`no token is taken with ${name}`, async () => {
    fc.assert(
      fc.property(arbitrary, (mutated) => mutated === token || !verifyToken(MEDIA, mutated, 'hls', keys, NOW).ok),
      { numRuns: 2000 }
    )
  })
}
