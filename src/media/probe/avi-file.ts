import { bytesAt, type FileView } from '../file-view.js'

/** Sizes that writers leave in the header when they are interrupted. */
const UNKNOWN_SIZES = [0, 0xffffffff]
/** An AVI has a part for each 1 to 2 GB (OpenDML). */
const MAX_PARTS = 100

export function isAvi (view: FileView): boolean {
  return /^RIFF[^]{4}AVI $/.test(bytesAt(view, 0, 12).toString('latin1'))
}

/** Returns true for an AVI file with a part that reaches beyond its end. */
export function isCutAvi (view: FileView): boolean {
  for (let position = 0, part = 0; part < MAX_PARTS; part++) {
    const head = bytesAt(view, position, 12)
    if (head.length < 12 || !/^RIFF[^]{4}AVI[ X]$/.test(head.toString('latin1'))) return false
    const size = head.readUInt32LE(4)
    if (UNKNOWN_SIZES.includes(size)) return false
    position += 8 + size + (size % 2)
    // The byte that makes a size even may be missing at the end.
    if (position - (size % 2) > view.size) return true
  }
  return false
}
