import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { signGrant, verifyGrant } from '../../../src/grants/grant-token.js'
import { loadSecrets } from '../../../src/secrets/keyring.js'

const ring = (secretKey: string, ...secretKeysPrevious: string[]) =>
  loadSecrets({ secretKey, secretKeysPrevious, dataDir: '/nonexistent' }).keyring('upload-grant')
const secret = () => randomBytes(24).toString('base64url')

const [first, second] = [secret(), secret()]
const keys = ring(first)
const facts = { grantId: randomUUID(), expiresAt: 1_800_000_000 }
const now = 1_700_000_000_000

t.test('a token is valid until its expiry, and after a rotation of the secret', async (t) => {
  const token = signGrant(facts, keys)
  t.same(verifyGrant(token, keys, now), { ok: true, facts })
  t.same(verifyGrant(token, ring(second, first), now), { ok: true, facts })
  t.same(verifyGrant(token, keys, facts.expiresAt * 1000 - 1), { ok: true, facts })
  t.same(verifyGrant(token, keys, facts.expiresAt * 1000), { ok: false, reason: 'expired' })
  t.same(verifyGrant(token, ring(second), now), { ok: false, reason: 'invalid' })
})

t.test('every altered character makes a token invalid', async (t) => {
  const token = signGrant(facts, keys)
  for (let at = 0; at < token.length; at++) {
    for (const other of ['A', '0', 'f', '.', '-', '%']) {
      if (token[at] === other) continue
      const altered = token.slice(0, at) + other + token.slice(at + 1)
      t.same(verifyGrant(altered, keys, now), { ok: false, reason: 'invalid' }, altered)
    }
  }
  for (const altered of ['', token + 'A', token.slice(1), ` ${token}`, `${token}\n`, token.toUpperCase()]) {
    t.same(verifyGrant(altered, keys, now), { ok: false, reason: 'invalid' }, altered)
  }
})

t.test('the key of another purpose signs no grant', async (t) => {
  const { keyring } = loadSecrets({ secretKey: first, secretKeysPrevious: [], dataDir: '/nonexistent' })
  t.same(verifyGrant(signGrant(facts, keyring('link')), keys, now), { ok: false, reason: 'invalid' })
})
