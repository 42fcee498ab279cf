import type { IncomingHttpHeaders } from 'node:http'

/**
 * Ranges that nginx and this server interpret in the same way. nginx refuses ranges that RFC 9110 ignores
 * (`bytes=5-1`), and numbers of more than 18 digits.
 */
const PLAIN_RANGE = /^bytes=(?:\d{1,18}-\d{0,18}|-\d{1,18})$/

/**
 * Internal locations in deploy/playgate.inc. Both map to the folder of the blobs. The first serves the range of the
 * request, and the second always serves the whole file.
 */
const RANGES = '/_blobs/ranges/'
const WHOLE = '/_blobs/whole/'

/**
 * Returns the path for `X-Accel-Redirect`, with which nginx sends the status of this server: 200 or 206. Returns
 * undefined if nginx would respond differently: it evaluates `If-Match` itself, and interprets some ranges differently.
 * This server then sends the bytes. Pure.
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
