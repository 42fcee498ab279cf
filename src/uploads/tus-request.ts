import type { IncomingHttpHeaders } from 'node:http'
import { ApiError } from '../errors.js'
import type { Part } from './part.js'
import type { Upload } from './schema.js'
import { PART_TYPE, parseByteCount, parseChecksum } from './tus.js'

/** Returns the text of a header. A repeated header is one list. */
export function headerOf (headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

/** Returns the size of the file that a creation declares. **Throws** `bad_request`. */
export function lengthOf (headers: IncomingHttpHeaders): number {
  if (headerOf(headers, 'upload-defer-length') !== undefined) {
    throw new ApiError('bad_request', { detail: 'Upload-Defer-Length is not supported: send Upload-Length.' })
  }
  return parseByteCount('Upload-Length', headerOf(headers, 'upload-length'))
}

/** Returns whether a request has a body that is not empty. */
export function hasBody (headers: IncomingHttpHeaders): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

/** Returns the part that a request sends. **Throws** `unsupported_content_type` or `bad_request`. */
export function partOf (headers: IncomingHttpHeaders, offsetBytes: number): Part {
  const { 'content-type': type, 'content-length': length, 'content-encoding': encoding = 'identity' } = headers
  if (type !== PART_TYPE || encoding !== 'identity') {
    throw new ApiError('unsupported_content_type', {
      detail: `Send ${PART_TYPE} without a Content-Encoding.`,
      headers: { 'accept-encoding': 'identity' }
    })
  }
  const checksum = parseChecksum(headerOf(headers, 'upload-checksum'))
  return { offsetBytes, ...(length !== undefined && { sizeBytes: Number(length) }), checksum }
}

/** Returns the headers of an upload's state. */
export function stateOf ({ offsetBytes, expiresAt, mediaId }: Upload): Record<string, string> {
  return {
    'upload-offset': String(offsetBytes),
    'upload-expires': new Date(expiresAt).toUTCString(),
    ...(mediaId !== null && { 'media-location': `/media/${mediaId}` })
  }
}
