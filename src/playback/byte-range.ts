/** The positions of the first and the last byte, both inclusive. */
export interface ByteRange {
  start: number
  end: number
}

const ONE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i

/**
 * Parses a `Range` header for a representation of `size` bytes (RFC 9110, 14.1.2 and 14.2). Returns the range, clamped
 * to the end. Returns `unsatisfiable` (416) if the range starts past the end or requests the last 0 bytes. Returns
 * `ignored` (200) for an unknown unit, a malformed value, or several ranges: a server may then send the whole
 * representation.
 */
export function parseRange (header: string | undefined, size: number): ByteRange | 'ignored' | 'unsatisfiable' {
  const match = header === undefined ? null : ONE_RANGE.exec(header)
  if (match === null) return 'ignored'
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    if (last === '') return 'ignored'
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? Infinity : Number(last)
  if (end < start) return 'ignored'
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size - 1) }
}
