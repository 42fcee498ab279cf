import type { IncomingHttpHeaders } from 'node:http'

/**
 * A range that nginx reads as this server does. It refuses what RFC 9110 ignores (`bytes=5-1`), and numbers of more
 * than 18 digits.
 */
const PLAIN_RANGE = /^bytes=(?:\d{1,18}-\d{0,18}|-\d{1,18})$/

/**
 * Internal places of deploy/playgate.inc, both the folder of the blobs: the first serves the request's range, the
 * other the whole file whatever it asks.
 */
const RANGES = '/_blobs/ranges/'
const WHOLE = '/_blobs/whole/'

/**
 * Where nginx finds a blob (X-Accel-Redirect) to answer a GET as was decided here: 200 or 206. Undefined for a request
 * that it would answer in another way than this server, which then sends the bytes itself: nginx knows `If-Match`, and
 * reads some ranges otherwise. Pure.
 */
export function offloadPath (
  name: string,
  { range, 'if-match': ifMatch, 'if-unmodified-since': ifUnmodifiedSince }: IncomingHttpHeaders,
  status: number
): string | undefined {
  if (ifMatch !== undefined || ifUnmodifiedSince !== undefined) return undefined
  if (status === 200) return WHOLE + name
  return status === 206 && PLAIN_RANGE.test(range ?? '') ? RANGES + name : undefined
}
