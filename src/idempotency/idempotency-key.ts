/** Visible ASCII characters, except quotes, backslashes and commas. A comma would join two headers. */
const KEY = /^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,255}$/

/**
 * Parses an `Idempotency-Key` header: a string with quotes (RFC 9651, section 3.3.3), or the same text without quotes,
 * as most clients send it. Returns undefined for a malformed header.
 */
export function parseIdempotencyKey (header: string): string | undefined {
  const isQuoted = header.length > 2 && header.startsWith('"') && header.endsWith('"')
  const key = isQuoted ? header.slice(1, -1) : header
  return KEY.test(key) ? key : undefined
}
