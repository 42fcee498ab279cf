import { createHash, randomBytes } from 'node:crypto'
import type { TokenHashes } from './session-store.js'

/** RFC 9700 requires tokens that cannot be guessed: 256 random bits. */
const TOKEN_BYTES = 32

/** Creates a token `<family>.<random>`. All tokens of a session share the family. */
export function newRefreshToken (family = randomText()): string {
  return `${family}.${randomText()}`
}

/** Returns the family of a token; undefined for a token of an older version without a family. */
export function familyOf (token: string): string | undefined {
  const end = token.indexOf('.')
  return end === -1 ? undefined : token.slice(0, end)
}

/** Returns the hashes by which the database stores and finds a token. */
export function hashesOf (token: string): TokenHashes {
  const family = familyOf(token)
  return { tokenHash: hashOf(token), familyHash: family === undefined ? null : hashOf(family) }
}

function randomText (): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}
