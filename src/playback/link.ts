import { createHmac, timingSafeEqual } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { Keyring } from '../secrets/keyring.js'

/** The fields of a link. A link grants access only to this media, until its expiry, for its subject. */
export interface LinkFacts {
  mediaId: string
  /** Unix seconds. */
  expiresAt: number
  /** The generation of the media when the link was created. */
  generation: number
  /** Identifies the link: one view counts for each link and address. */
  linkId: string
  /** The account of the link holder, or `anon`. */
  subject: string
}

/** The purpose of a signature. A signature is invalid for any other purpose. */
export type LinkPurpose = 'stream' | 'hls' | 'original'

export type LinkVerdict = { ok: true; facts: LinkFacts } | { ok: false; reason: 'invalid' | 'expired' }

export const ANONYMOUS = 'anon'

const VERSION = 'playgate-link-1'
const PARAMETERS = ['exp', 'gen', 'kid', 'lid', 'sub', 'sig'] as const
const QUERY =
  /^exp=([1-9][0-9]{0,11})&gen=([1-9][0-9]{0,9})&kid=([A-Za-z0-9_-]{8})&lid=([0-9a-f-]{36})&sub=(anon|[0-9a-f-]{36})&sig=([A-Za-z0-9_-]{43})$/

/** Returns a new link id, which contains its time of creation (UUIDv7, RFC 9562). */
export function newLinkId (now: number): string {
  return uuidv7({ msecs: now })
}

/** Returns the time of creation of a link id, in epoch milliseconds. Returns 0 for an id that is not a UUIDv7. */
export function linkBornAt (linkId: string): number {
  return linkId[14] === '7' ? Number.parseInt(linkId.slice(0, 8) + linkId.slice(9, 13), 16) : 0
}

/** Returns the query string of a signed link, without `?`. */
export function signLink (facts: LinkFacts, purpose: LinkPurpose, keys: Keyring): string {
  const { id, key } = keys.current
  const { expiresAt, generation, linkId, subject } = facts
  const signed = signature(facts, id, purpose, key)
  return `exp=${expiresAt}&gen=${generation}&kid=${id}&lid=${linkId}&sub=${subject}&sig=${signed}`
}

/** Returns whether a query string has a parameter of a link, so that it must be verified as a link. */
export function isLinkQuery (query: string): boolean {
  return (
    query !== '' && query.split('&').some((pair) => (PARAMETERS as readonly string[]).includes(pair.split('=', 1)[0]!))
  )
}

/**
 * Verifies a raw query string for a media. It accepts only the exact form of {@link signLink}. A parameter that is
 * altered, doubled, missing, added, reordered or encoded differently makes the link `invalid`. Only a link with a valid
 * signature can be `expired`. Pure; `now` in milliseconds; compares in constant time.
 */
export function verifyLink (
  mediaId: string,
  query: string,
  purpose: LinkPurpose,
  keys: Keyring,
  now: number
): LinkVerdict {
  const match = QUERY.exec(query)
  if (match === null) return { ok: false, reason: 'invalid' }
  const [, exp, gen, kid, linkId, subject, given] = match as unknown as string[]
  const key = keys.find(kid!)
  if (key === undefined) return { ok: false, reason: 'invalid' }
  const facts: LinkFacts = {
    mediaId,
    expiresAt: Number(exp),
    generation: Number(gen),
    linkId: linkId!,
    subject: subject!
  }
  const expected = signature(facts, key.id, purpose, key.key)
  // Compares the encoded forms, because a decoder ignores the unused bits in the last character of base64url.
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(given!))) return { ok: false, reason: 'invalid' }
  if (facts.expiresAt * 1000 <= now) return { ok: false, reason: 'expired' }
  return { ok: true, facts }
}

/**
 * Returns a link as one path segment: its values, separated by dots. URIs in a playlist are relative to this segment.
 */
export function signToken (facts: LinkFacts, purpose: LinkPurpose, keys: Keyring): string {
  return signLink(facts, purpose, keys)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1))
    .join('.')
}

/** Verifies a token of {@link signToken} in the same way as {@link verifyLink} verifies a query. */
export function verifyToken (
  mediaId: string,
  token: string,
  purpose: LinkPurpose,
  keys: Keyring,
  now: number
): LinkVerdict {
  const values = token.split('.')
  if (values.length !== PARAMETERS.length) return { ok: false, reason: 'invalid' }
  return verifyLink(mediaId, PARAMETERS.map((name, index) => `${name}=${values[index]}`).join('&'), purpose, keys, now)
}

/**
 * Returns the id of a valid link for this media and subject, also if it has expired. `address` is the whole URL of the
 * link. Undefined for any other text.
 */
export function linkIdOf (
  address: string | undefined,
  mediaId: string,
  subject: string,
  keys: Keyring
): string | undefined {
  const token = /\/hls\/([^/?]+)\//.exec(address ?? '')?.[1]
  const verdict =
    token === undefined
      ? verifyLink(mediaId, address?.split('?', 2)[1] ?? '', 'stream', keys, 0)
      : verifyToken(mediaId, token, 'hls', keys, 0)
  return verdict.ok && verdict.facts.subject === subject ? verdict.facts.linkId : undefined
}

/** Returns the HMAC-SHA256 (RFC 2104) of all fields of a link, one field a line. No field can contain a line break. */
function signature (facts: LinkFacts, keyId: string, purpose: LinkPurpose, key: Buffer): string {
  const { mediaId, expiresAt, generation, linkId, subject } = facts
  return createHmac('sha256', key)
    .update([VERSION, purpose, mediaId, expiresAt, generation, keyId, linkId, subject].join('\n'))
    .digest('base64url')
}
