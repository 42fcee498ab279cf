/** RFC 6750, section 2.1. The scheme is case-insensitive (RFC 9110, section 11.1). */
const BEARER = /^bearer(?: +(.*))?$/i

/** Returns the credential of an `Authorization` header; undefined for another scheme and without a header. */
export function bearerOf (header: string | undefined): string | undefined {
  const match = BEARER.exec(header ?? '')
  return match === null ? undefined : (match[1] ?? '')
}
