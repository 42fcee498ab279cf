import type { IncomingHttpHeaders } from 'node:http'
import { ApiError } from '../errors.js'
import { parseReprDigest } from './repr-digest.js'

/** Returns the length and the digest in the headers. **Throws** for headers that do not describe a whole file. */
export function expectedOf (headers: IncomingHttpHeaders): { sizeBytes: number; sha256: string | undefined } {
  const {
    'content-length': length,
    'content-encoding': encoding = 'identity',
    'content-range': part,
    'repr-digest': digest
  } = headers
  if (length === undefined) throw new ApiError('length_required')
  // RFC 9110, sections 14.4 and 15.5.16. Otherwise a part of a file would be stored as a whole file, and an encoded
  // file as a different file.
  if (part !== undefined) {
    throw new ApiError('bad_request', { detail: 'Part of a file (Content-Range) is not accepted here.' })
  }
  if (encoding !== 'identity') {
    throw new ApiError('unsupported_content_type', {
      detail: 'A body with a Content-Encoding is not accepted here.',
      headers: { 'accept-encoding': 'identity' }
    })
  }
  const named = digest === undefined ? { sha256: undefined } : parseReprDigest([digest].flat().join(','))
  if (named === 'malformed') throw new ApiError('digest_malformed')
  return { sizeBytes: Number(length), sha256: named.sha256 }
}
