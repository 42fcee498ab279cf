import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Keyring } from '../secrets/keyring.js'

/** The fields of a token. It lets its holder use one grant until its expiry, in Unix seconds. */
export interface GrantFacts {
  grantId: string
  expiresAt: number
}

export type GrantVerdict = { ok: true; facts: GrantFacts } | { ok: false; reason: 'invalid' | 'expired' }

const VERSION = 'playgate-upload-grant-1'
const TOKEN = /^([0-9a-f-]{36})\.([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{8})\.([A-Za-z0-9_-]{43})$/

/** Returns the token of a grant: a path segment, signed with the current key. */
export function signGrant (facts: GrantFacts, { current }: Keyring): string {
  return `${facts.grantId}.${facts.expiresAt}.${current.id}.${signature(facts, current.id, current.key)}`
}

/**
 * Verifies a token. Accepts only the exact form of {@link signGrant}. Only a token with a valid signature can be
 * `expired`. Pure; `now` in milliseconds; compares in constant time.
 */
export function verifyGrant (token: string, keys: Keyring, now: number): GrantVerdict {
  const match = TOKEN.exec(token)
  if (match === null) return { ok: false, reason: 'invalid' }
  const [, grantId, exp, kid, given] = match as unknown as string[]
  const key = keys.find(kid!)
  if (key === undefined) return { ok: false, reason: 'invalid' }
  const facts = { grantId: grantId!, expiresAt: Number(exp) }
  // Compares the encoded forms, because a decoder ignores the unused bits in the last character of base64url.
  const expected = Buffer.from(signature(facts, key.id, key.key))
  if (!timingSafeEqual(expected, Buffer.from(given!))) return { ok: false, reason: 'invalid' }
  if (facts.expiresAt * 1000 <= now) return { ok: false, reason: 'expired' }
  return { ok: true, facts }
}

/** Returns the HMAC-SHA256 (RFC 2104) of all fields, one field a line. No field can contain a line break. */
function signature ({ grantId, expiresAt }: GrantFacts, keyId: string, key: Buffer): string {
  return createHmac('sha256', key).update([VERSION, grantId, expiresAt, keyId].join('\n')).digest('base64url')
}
