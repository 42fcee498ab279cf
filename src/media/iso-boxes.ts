import { bytesAt, type FileView } from './file-view.js'

/** A box of ISO base media (ISO/IEC 14496-12, 4.2): its position, and where its content starts and ends. */
export interface Box {
  type: string
  position: number
  start: number
  end: number
}

/**
 * Returns the box at a position (ISO/IEC 14496-12, 4.2). Size 1 means that a 64-bit size follows. Size 0 means that the
 * box extends to `end`. Returns undefined for a box that reaches beyond `end`.
 */
export function boxAt (view: FileView, position: number, end: number): Box | undefined {
  const head = bytesAt(view, position, 16)
  if (head.length < 8) return undefined
  const small = head.readUInt32BE(0)
  if (small === 1 && head.length < 16) return undefined
  const size = small === 1 ? Number(head.readBigUInt64BE(8)) : small === 0 ? end - position : small
  const start = position + (small === 1 ? 16 : 8)
  if (position + size < start || position + size > end) return undefined
  return { type: head.toString('latin1', 4, 8), position, start, end: position + size }
}

/** Yields the boxes between two positions, up to the first that is no box. One that reaches beyond `end` ends there. */
export function * boxesIn (view: FileView, start: number, end: number): Generator<Box> {
  for (let position = start; position < end;) {
    const box = boxAt(view, position, Infinity)
    if (box === undefined) return
    yield { ...box, end: Math.min(box.end, end) }
    position = box.end
  }
}
