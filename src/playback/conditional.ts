/** A strong entity tag with its quotes, and the time of the last change, in milliseconds. */
export interface Validators {
  etag: string
  lastModified: number
}

/** Returns a strong entity tag from a SHA-256 in hex. Different bytes have different tags. */
export function entityTag (sha256: string): string {
  return `"${Buffer.from(sha256, 'hex').toString('base64url')}"`
}

/**
 * Returns whether a request gets 412 (RFC 9110, 13.1.1, 13.1.4 and 13.2.2). `If-Match` uses strong comparison.
 * `If-Unmodified-Since` applies only without `If-Match`, in whole seconds. An invalid date is ignored.
 */
export function isPreconditionFailed (
  ifMatch: string | undefined,
  ifUnmodifiedSince: string | undefined,
  validators: Validators
): boolean {
  if (ifMatch !== undefined) return ifMatch.trim() !== '*' && !entityTagsOf(ifMatch).includes(validators.etag)
  const since = httpDate(ifUnmodifiedSince)
  return since !== undefined && wholeSeconds(validators.lastModified) > since
}

/**
 * Returns whether a GET or HEAD gets 304 (RFC 9110, 13.1.2, 13.1.3 and 13.2.2). `If-None-Match` uses weak comparison.
 * `If-Modified-Since` applies only without `If-None-Match`, in whole seconds. An invalid date is ignored.
 */
export function isNotModified (
  ifNoneMatch: string | undefined,
  ifModifiedSince: string | undefined,
  validators: Validators
): boolean {
  if (ifNoneMatch !== undefined) {
    return (
      ifNoneMatch.trim() === '*' || entityTagsOf(ifNoneMatch).some((tag) => tag.replace(/^W\//, '') === validators.etag)
    )
  }
  const since = httpDate(ifModifiedSince)
  return since !== undefined && wholeSeconds(validators.lastModified) <= since
}

/**
 * Returns whether the range of a request applies (RFC 9110, 13.1.5). It applies if `If-Range` is missing, has the same
 * entity tag by strong comparison, or has exactly the date of the last change. That date is strong only if it is at
 * least a minute before `now`.
 */
export function isRangeCurrent (ifRange: string | undefined, validators: Validators, now: number): boolean {
  if (ifRange === undefined) return true
  const value = ifRange.trim()
  if (value.startsWith('"') || value.startsWith('W/')) return value === validators.etag
  const modified = wholeSeconds(validators.lastModified)
  return httpDate(value) === modified && now - modified * 1000 >= 60_000
}

/** Returns an IMF-fixdate (RFC 9110, 5.6.7). */
export function formatHttpDate (milliseconds: number): string {
  return new Date(milliseconds).toUTCString()
}

function entityTagsOf (header: string): string[] {
  return header.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []
}

const DAY_NAMES = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const LONG_DAY_NAMES = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)'
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
const TIME = '[0-2]\\d:[0-5]\\d:[0-6]\\d'
const IMF_FIXDATE = new RegExp(`^${DAY_NAMES}, \\d\\d ${MONTH} \\d{4} ${TIME} GMT$`)
const RFC850_DATE = new RegExp(`^${LONG_DAY_NAMES}, \\d\\d-${MONTH}-\\d\\d ${TIME} GMT$`)
const ASCTIME_DATE = new RegExp(`^${DAY_NAMES} ${MONTH} [ \\d]\\d ${TIME} \\d{4}$`)

/**
 * Parses an HTTP date in any of its three forms (RFC 9110, 5.6.7) to whole seconds. Undefined for an invalid date. It
 * checks the form first, because `Date.parse` accepts almost any text.
 */
function httpDate (value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const asctime = ASCTIME_DATE.test(value)
  if (!asctime && !IMF_FIXDATE.test(value) && !RFC850_DATE.test(value)) return undefined
  const milliseconds = Date.parse(asctime ? `${value} GMT` : value)
  // `Date.parse` moves a day that its month does not have into the next month.
  const day = Number(/\d+/.exec(value)![0])
  return Number.isNaN(milliseconds) || new Date(milliseconds).getUTCDate() !== day
    ? undefined
    : wholeSeconds(milliseconds)
}

function wholeSeconds (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
