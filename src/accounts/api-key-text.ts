import { hash, randomBytes } from 'node:crypto'

/** A key cannot be guessed: 256 random bits, as RFC 9700 requires of tokens. */
const SECRET_BYTES = 32
/** The start of every key, by which secret scanners recognize one. */
const PREFIX = 'pgk_'
/**
 * `pgk_`, the id without its hyphens, and 43 characters of base64url. These encode 32 bytes, so the last character has
 * two unused bits, which must be zero.
 */
const KEY = /^pgk_[\da-f]{32}_[\w-]{42}[AEIMQUYcgkosw048]$/

/** Returns a new key for an id. The database stores only its hash. */
export function newApiKey (id: string): string {
  return `${prefixOf(id)}_${randomBytes(SECRET_BYTES).toString('base64url')}`
}

/** Returns the part of a key that is not secret. */
export function prefixOf (id: string): string {
  return PREFIX + id.replaceAll('-', '')
}

/** Returns true for a credential that claims to be an API key, not an access token. */
export function isApiKey (credential: string): boolean {
  return credential.startsWith(PREFIX)
}

/** Returns the hash by which the database finds a key; undefined for a malformed key. */
export function hashOfApiKey (key: string): string | undefined {
  return KEY.test(key) ? hash('sha256', key, 'base64url') : undefined
}
