/** The validators of a representation: a strong entity tag with its quotes, and when it was made, in milliseconds. */
export interface Validators { etag: string, lastModified: number }

/** A strong entity tag from a SHA-256 in hex: other bytes, other tag. */
export function entityTag (sha256: string): string {
  return `"${Buffer.from(sha256, 'hex').toString('base64url')}"`
}

/**
 * Whether a GET or HEAD is answered 304 (RFC 9110, 13.1.2, 13.1.3 and 13.2.2): `If-None-Match` by weak comparison, and only
 * without it `If-Modified-Since`, to the second. A date that cannot be read is as none.
 */
export function isNotModified (ifNoneMatch: string | undefined, ifModifiedSince: string | undefined, validators: Validators): boolean {
  if (ifNoneMatch !== undefined) {
    return ifNoneMatch.trim() === '*' || entityTagsOf(ifNoneMatch).some((tag) => tag.replace(/^W\//, '') === validators.etag)
  }
  const since = httpDate(ifModifiedSince)
  return since !== undefined && wholeSeconds(validators.lastModified) <= since
}

/**
 * Whether a range may be answered (RFC 9110, 13.1.5): no `If-Range`, or the same entity tag by strong comparison, or exactly the
 * date of the last change, which counts as strong once it lies a minute before `now`.
 */
export function isRangeCurrent (ifRange: string | undefined, validators: Validators, now: number): boolean {
  if (ifRange === undefined) return true
  const value = ifRange.trim()
  if (value.startsWith('"') || value.startsWith('W/')) return value === validators.etag
  const modified = wholeSeconds(validators.lastModified)
  return httpDate(value) === modified && now - modified * 1000 >= 60_000
}

/** An IMF-fixdate (RFC 9110, 5.6.7). */
export function formatHttpDate (milliseconds: number): string {
  return new Date(milliseconds).toUTCString()
}

function entityTagsOf (header: string): string[] {
  return header.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []
}

/** Whole seconds of an HTTP date, in any of its three forms; undefined for what is none. */
function httpDate (value: string | undefined): number | undefined {
  if (value === undefined || !/^[A-Z][a-z]{2,8},? /.test(value)) return undefined
  const asctime = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/.test(value)
  const milliseconds = Date.parse(asctime ? `${value} GMT` : value)
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000)
}

function wholeSeconds (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
