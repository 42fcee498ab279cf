const ONE = 0x10000
/** From the end of the matrix's box, its start: nine numbers, and the track's width and height. */
const MATRIX_FROM_END = 9 * 4 + 8

/** Columns of a display matrix (ISO/IEC 14496-12, 6.2.2): a, b, c, d. */
export type Matrix = [a: number, b: number, c: number, d: number]

/** Writes a matrix into the first track header, which is that of the pictures. */
export function withMatrix (mp4: Buffer, [a, b, c, d]: Matrix): Buffer {
  const changed = Buffer.from(mp4)
  const header = changed.indexOf('tkhd') - 4
  const matrix = header + changed.readUInt32BE(header) - MATRIX_FROM_END
  for (const [place, value] of [[0, a], [1, b], [3, c], [4, d]] as const) {
    changed.writeInt32BE(value * ONE, matrix + 4 * place)
  }
  return changed
}
