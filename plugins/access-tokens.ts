import type { JWT } from '@fastify/jwt'
import { LRUCache } from 'lru-cache'
import { hash } from 'node:crypto'
import { validate as isUuid } from 'uuid'
import type { Keyring } from '../src/secrets/keyring.js'
import { MINUTE, SECOND } from '../src/time.js'

/** The account and the session of a token. Tokens of older versions contain no session id. */
export interface Bearer {
  sub: string
  sid: string | undefined
  expiresAt: number
}
interface Claims {
  sub: unknown
  sid: unknown
  iat: unknown
  exp: number
  jti: unknown
}

const CACHED_TOKENS = 10_000
/**
 * A token has three parts. The last part encodes 32 bytes, so its last character has two unused bits. Decoders ignore
 * these bits; this pattern requires them to be zero.
 */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/
/** The largest accepted difference between the clocks of two servers. */
const MAX_SKEW_MS = MINUTE

/**
 * Returns a function that verifies a token and returns its claims. The function throws if this server did not issue the
 * token, or if the token has expired.
 */
export function createTokenVerifier (jwt: JWT, keys: Keyring): (token: string) => Bearer {
  /** Keys are the SHA-256 hashes of tokens. */
  const verifiedTokens = new LRUCache<string, Bearer>({ max: CACHED_TOKENS })

  /** Also accepts tokens that were signed with a previous secret. */
  function verify (token: string): Bearer {
    if (!TOKEN.test(token)) throw new Error('the token is malformed')
    const { header } = jwt.decode<{ header: { kid?: unknown } }>(token)!
    const ring = keys.find(String(header.kid))
    if (ring === undefined) throw new Error('the token names an unknown key')
    const { sub, sid, iat, exp, jti } =
      ring.id === keys.current.id ? jwt.verify<Claims>(token) : jwt.verify<Claims>(token, { key: ring.key })
    if (typeof jti !== 'string' || typeof iat !== 'number' || iat * SECOND > Date.now() + MAX_SKEW_MS) {
      throw new Error('the token has no id, or was issued in the future')
    }
    if (!isUuid(sub)) throw new Error('the token names no account')
    if (sid !== undefined && !isUuid(sid)) throw new Error('the token names no session')
    return { sub: sub as string, sid: sid as string | undefined, expiresAt: exp * SECOND }
  }

  return (token) => {
    const name = hash('sha256', token, 'base64')
    let bearer = verifiedTokens.get(name)
    if (bearer === undefined) {
      bearer = verify(token)
      verifiedTokens.set(name, bearer)
    }
    // RFC 7519, 4.1.4: a token is expired in the second of its `exp`.
    if (bearer.expiresAt <= Date.now()) throw new Error('the token has expired')
    return bearer
  }
}
