import { createHmac, timingSafeEqual } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import type { Keyring } from '../secrets/keyring.js'

/** What a link grants is never more than what it says: this media, until then, for whom it was minted. */
export interface LinkFacts {
  mediaId: string
  /** Unix seconds. */
  expiresAt: number
  /** The media's generation when it was minted. */
  generation: number
  /** Names the link: one view is counted for each link and address. */
  linkId: string
  /** The account it was minted for, or `anon`. */
  subject: string
}

/** What a signature is for; one for a stream opens nothing else. */
export type LinkPurpose = 'stream' | 'hls'

export type LinkVerdict = { ok: true; facts: LinkFacts } | { ok: false; reason: 'invalid' | 'expired' }

export const ANONYMOUS = 'anon'

const VERSION = 'playgate-link-1'
const PARAMETERS = ['exp', 'gen', 'kid', 'lid', 'sub', 'sig'] as const
const QUERY =
  /^exp=([1-9][0-9]{0,11})&gen=([1-9][0-9]{0,9})&kid=([A-Za-z0-9_-]{8})&lid=([0-9a-f-]{36})&sub=(anon|[0-9a-f-]{36})&sig=([A-Za-z0-9_-]{43})$/

/** A fresh link id, which says when it was made (UUIDv7, RFC 9562). */
export function newLinkId (now: number): string {
  return uuidv7({ msecs: now })
}

/** When a link id was made, in milliseconds; 0 for one that does not say. */
export function linkBornAt (linkId: string): number {
  return linkId[14] === '7' ? Number.parseInt(linkId.slice(0, 8) + linkId.slice(9, 13), 16) : 0
}

/** The query string of a signed link, without `?`. */
export function signLink (facts: LinkFacts, purpose: LinkPurpose, keys: Keyring): string {
  const { id, key } = keys.current
  const { expiresAt, generation, linkId, subject } = facts
  const signed = signature(facts, id, purpose, key)
  return `exp=${expiresAt}&gen=${generation}&kid=${id}&lid=${linkId}&sub=${subject}&sig=${signed}`
}

/** Whether a query string is meant as a link at all: it names one of a link's parameters. */
export function isLinkQuery (query: string): boolean {
  return (
    query !== '' && query.split('&').some((pair) => (PARAMETERS as readonly string[]).includes(pair.split('=', 1)[0]!))
  )
}

/**
 * Verifies a raw query string for a media. Only the exact form of {@link signLink} is accepted: a parameter that is
 * altered, doubled, missing, added, reordered or encoded in another way is `invalid`. `expired` is said only of a
 * valid link. Pure; `now` in milliseconds; compares in constant time.
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
  // The encoded forms are compared: the last character of base64url carries unused bits, which a decoder would let
  // through.
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(given!))) return { ok: false, reason: 'invalid' }
  if (facts.expiresAt * 1000 <= now) return { ok: false, reason: 'expired' }
  return { ok: true, facts }
}

/** A link as one path segment, for playlists whose addresses are all relative to it: the same values, between dots. */
export function signToken (facts: LinkFacts, purpose: LinkPurpose, keys: Keyring): string {
  return signLink(facts, purpose, keys)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1))
    .join('.')
}

/** Verifies a token of {@link signToken} as {@link verifyLink} does a query. */
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
 * The id of a valid link, given as its whole address, that was minted for this media and subject, whether it has
 * ended or not; undefined for anything else.
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

/** HMAC-SHA256 (RFC 2104) over everything a link says, one field a line: no field can contain a line break. */
function signature (facts: LinkFacts, keyId: string, purpose: LinkPurpose, key: Buffer): string {
  const { mediaId, expiresAt, generation, linkId, subject } = facts
  return createHmac('sha256', key)
    .update([VERSION, purpose, mediaId, expiresAt, generation, keyId, linkId, subject].join('\n'))
    .digest('base64url')
}
