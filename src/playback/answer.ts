import { parseRange, type ByteRange } from './byte-range.js'
import { formatHttpDate, isNotModified, isPreconditionFailed, isRangeCurrent, type Validators } from './conditional.js'

/** The parts of a request that determine the response. */
export interface StreamRequest {
  method: string
  range?: string
  ifMatch?: string
  ifUnmodifiedSince?: string
  ifNoneMatch?: string
  ifModifiedSince?: string
  ifRange?: string
}

/** The status and headers of a response, and the byte range of its body. HEAD, 304, 412 and 416 have no `body`. */
export interface StreamAnswer {
  status: 200 | 206 | 304 | 412 | 416
  headers: Record<string, string>
  body: ByteRange | undefined
}

/**
 * Returns the response for a file of `size` bytes. Preconditions come first, then the range (RFC 9110, 13.2.2). The
 * range applies only to GET, and only if `If-Range` holds. Pure; `now` in milliseconds.
 */
export function answerFor (request: StreamRequest, size: number, validators: Validators, now: number): StreamAnswer {
  const headers: Record<string, string> = {
    'accept-ranges': 'bytes',
    etag: validators.etag,
    'last-modified': formatHttpDate(validators.lastModified)
  }
  if (isPreconditionFailed(request.ifMatch, request.ifUnmodifiedSince, validators)) {
    return { status: 412, headers, body: undefined }
  }
  if (isNotModified(request.ifNoneMatch, request.ifModifiedSince, validators)) {
    return { status: 304, headers, body: undefined }
  }
  const isGet = request.method === 'GET'
  const range = isGet && isRangeCurrent(request.ifRange, validators, now) ? parseRange(request.range, size) : 'ignored'
  if (range === 'unsatisfiable') {
    return { status: 416, headers: { ...headers, 'content-range': `bytes */${size}` }, body: undefined }
  }
  if (range === 'ignored') {
    headers['content-length'] = String(size)
    return { status: 200, headers, body: isGet ? { start: 0, end: size - 1 } : undefined }
  }
  headers['content-length'] = String(range.end - range.start + 1)
  headers['content-range'] = `bytes ${range.start}-${range.end}/${size}`
  return { status: 206, headers, body: range }
}
