/** An edit in seconds of what the file shows without it, or an empty edit of some seconds. */
export type WantedEdit = { from: number; to: number } | { empty: number }

const HEADER_BYTES = 8
const MOVIE_TIMESCALE = 1000
const FORWARD = 0x10000

interface Box {
  type: string
  content: Buffer
}

/**
 * Replaces the edit lists of both tracks of an MP4 that ffmpeg made, whose `moov` box is at its end. The media stays as
 * it is, as after a cut without encoding.
 */
export function withEdits (mp4: Buffer, edits: WantedEdit[]): Buffer {
  const boxes = boxesOf(mp4).map((box) => {
    if (box.type !== 'moov') return box
    const tracks = boxesOf(box.content).map((inner) => (inner.type === 'trak' ? editTrack(inner, edits) : inner))
    return { type: 'moov', content: join(tracks) }
  })
  if (boxes.findIndex(({ type }) => type === 'moov') < boxes.findIndex(({ type }) => type === 'mdat')) {
    throw new Error('the moov box must be at the end: it grows')
  }
  return join(boxes)
}

function editTrack (track: Box, edits: WantedEdit[]): Box {
  const boxes = boxesOf(track.content)
  const inside = (path: string[]) =>
    path.reduce<Buffer | undefined>(
      (content, type) => content && boxesOf(content).find((box) => box.type === type)?.content,
      track.content
    )
  const timescale = inside(['mdia', 'mdhd'])!.readUInt32BE(12)
  // The one edit of ffmpeg skips the delay of the encoder.
  const delay = inside(['edts', 'elst'])!.readInt32BE(12)
  const list = Buffer.alloc(8 + 12 * edits.length)
  list.writeUInt32BE(edits.length, 4)
  for (const [index, edit] of edits.entries()) {
    const at = 8 + 12 * index
    list.writeUInt32BE(Math.round(MOVIE_TIMESCALE * ('empty' in edit ? edit.empty : edit.to - edit.from)), at)
    list.writeInt32BE('empty' in edit ? -1 : delay + Math.round(edit.from * timescale), at + 4)
    list.writeInt32BE(FORWARD, at + 8)
  }
  const edts = { type: 'edts', content: join([{ type: 'elst', content: list }]) }
  return { type: 'trak', content: join(boxes.map((box) => (box.type === 'edts' ? edts : box))) }
}

function boxesOf (content: Buffer): Box[] {
  const boxes: Box[] = []
  for (let at = 0; at < content.length;) {
    const size = content.readUInt32BE(at)
    const type = content.toString('latin1', at + 4, at + HEADER_BYTES)
    boxes.push({ type, content: content.subarray(at + HEADER_BYTES, at + size) })
    at += size
  }
  return boxes
}

function join (boxes: Box[]): Buffer {
  return Buffer.concat(
    boxes.flatMap(({ type, content }) => {
      const header = Buffer.alloc(HEADER_BYTES)
      header.writeUInt32BE(HEADER_BYTES + content.length)
      header.write(type, 4, 'latin1')
      return [header, content]
    })
  )
}
