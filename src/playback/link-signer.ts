import { LRUCache } from 'lru-cache'
import type { Keyring } from '../secrets/keyring.js'
import { SECOND, type Clock } from '../time.js'
import { linkIdOf, newLinkId, signLink, signToken, verifyLink, verifyToken } from './link.js'
import type { LinkFacts, LinkPurpose, LinkVerdict } from './link.js'

/** The purposes of links whose signature is a query string. */
export type QueryPurpose = Exclude<LinkPurpose, 'hls'>

/** 10,000 links use about 5 MB. */
const MAX_VERIFIED_LINKS = 10_000

/** Signs and verifies links with the keys of this server and its clock. */
export class LinkSigner {
  readonly #keys: Keyring
  readonly #clock: Clock
  readonly #verifiedLinks = new LRUCache<string, LinkFacts>({ max: MAX_VERIFIED_LINKS })

  constructor (keys: Keyring, clock: Clock) {
    this.#keys = keys
    this.#clock = clock
  }

  newId (): string {
    return newLinkId(this.#clock.now())
  }

  /** Returns the expiry of a link with a TTL of `seconds` from now, in Unix seconds. */
  expiresAt (seconds: number): number {
    return Math.floor(this.#clock.now() / SECOND) + seconds
  }

  /** Returns the query string of a link to a stream, or to an original. */
  signQuery (facts: LinkFacts, purpose: QueryPurpose = 'stream'): string {
    return signLink(facts, purpose, this.#keys)
  }

  /** Returns the path segment of a link to a playlist. */
  signToken (facts: LinkFacts): string {
    return signToken(facts, 'hls', this.#keys)
  }

  /**
   * Calls {@link verifyLink} once for each valid link, because a player sends the same link with every range request.
   * The expiry is checked each time.
   */
  verifyQuery (mediaId: string, query: string, purpose: QueryPurpose = 'stream'): LinkVerdict {
    const text = `${purpose}:${mediaId}?${query}`
    const known = this.#verifiedLinks.get(text)
    const now = this.#clock.now()
    if (known !== undefined) {
      return known.expiresAt * SECOND > now ? { ok: true, facts: known } : { ok: false, reason: 'expired' }
    }
    const verdict = verifyLink(mediaId, query, purpose, this.#keys, now)
    if (verdict.ok) this.#verifiedLinks.set(text, verdict.facts)
    return verdict
  }

  verifyToken (mediaId: string, token: string): LinkVerdict {
    return verifyToken(mediaId, token, 'hls', this.#keys, this.#clock.now())
  }

  /** Calls {@link linkIdOf} with the keys of this server. */
  idOf (address: string | undefined, mediaId: string, subject: string): string | undefined {
    return linkIdOf(address, mediaId, subject, this.#keys)
  }
}
