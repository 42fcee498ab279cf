/** Positions of the first and last byte, both included. */
export interface ByteRange {
  start: number
  end: number
}

const ONE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i

/**
 * What a `Range` header asks of a representation of `size` bytes (RFC 9110, 14.1.2 and 14.2): the range, clamped to the
 * end; `unsatisfiable` (416) when it starts past the end or asks for the last 0 bytes; `ignored` (200) for an unknown
 * unit, a malformed value, or several ranges, which a server may answer whole.
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
