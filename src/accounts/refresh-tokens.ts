import { createHash, randomBytes } from 'node:crypto'
import type { TokenHashes } from './session-store.js'

/** RFC 9700 asks for tokens that cannot be guessed: 256 random bits. */
const TOKEN_BYTES = 32

/** Creates a token `<family>.<random>`: all tokens of a session share the family. */
export function newRefreshToken (family = randomText()): string {
  return `${family}.${randomText()}`
}

/** Undefined for a token from before families. */
export function familyOf (token: string): string | undefined {
  const end = token.indexOf('.')
  return end === -1 ? undefined : token.slice(0, end)
}

/** What the database keeps of a token, and finds it by. */
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
