import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/**
 * The part of a track that is shown, in seconds of the presentation: from `startsAt` up to but not including `endsAt`.
 * The track holds `skippedSeconds` before that part and `restSeconds` after it, by its header. `isSingle` is false for
 * several parts and for a part at another speed, of which only `endsAt` is known.
 */
export interface Edit {
  isSingle: boolean
  startsAt: number
  endsAt: number
  skippedSeconds: number
  restSeconds: number
}
/** Edits of tracks by their ids; a track without an edit list is shown whole and is left out. */
export type Edits = Map<number, Edit>

/** The content of a box (ISO/IEC 14496-12, 4.2). */
interface Box {
  type: string
  start: number
  end: number
}
type Read = (at: number, length: number) => Buffer

const HEADER_BYTES = 8
const LARGE_HEADER_BYTES = 16
/** Two edits are several, and empty ones rarely repeat. */
const MAX_ENTRIES = 64
const EMPTY = -1n
const NORMAL_RATE = 0x10000

/** Reads the edit lists (ISO/IEC 14496-12, 8.6.6) of a file, none if it is no ISO media file. Holds a few bytes. */
export function readEdits (path: string): Edits {
  const file = openSync(path, 'r')
  try {
    const read: Read = (at, length) => {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(file, bytes, 0, length, at))
    }
    return editsOf(read, fstatSync(file).size)
  } finally {
    closeSync(file)
  }
}

function editsOf (read: Read, size: number): Edits {
  const edits: Edits = new Map()
  for (const movie of boxesIn(read, 0, size)) {
    if (movie.type !== 'moov') continue
    const boxes = [...boxesIn(read, movie.start, movie.end)]
    const header = boxes.find(({ type }) => type === 'mvhd')
    const timescale = header === undefined ? 0 : readTimes(read, header).timescale
    const isFragmented = boxes.some(({ type }) => type === 'mvex')
    for (const track of boxes.filter(({ type }) => type === 'trak')) {
      const { id, edit } = trackEdit(read, track, { timescale, isFragmented })
      // Of two tracks with one id it is unknown which one is meant.
      if (edits.has(id)) edits.set(id, severalEdits(Infinity))
      else if (edit !== undefined) edits.set(id, edit)
    }
  }
  return edits
}

interface Movie {
  timescale: number
  isFragmented: boolean
}

function trackEdit (read: Read, track: Box, movie: Movie): { id: number; edit: Edit | undefined } {
  const header = find(read, track, 'tkhd')
  const isLarge = header !== undefined && read(header.start, 1)[0] === 1
  const id = header === undefined ? 0 : read(header.start + (isLarge ? 20 : 12), 4).readUInt32BE()
  const times = find(read, track, 'mdia', 'mdhd')
  const list = find(read, track, 'edts', 'elst')
  if (times === undefined || list === undefined) return { id, edit: undefined }
  return { id, edit: readList(read, list, readTimes(read, times), movie) }
}

/** Edit durations count in ticks of the movie, media times in ticks of the track. */
function readList (read: Read, list: Box, track: Times, movie: Movie): Edit | undefined {
  const entries = readEntries(read, list)
  const secondsOf = ({ ticks }: Entry) => (ticks === 0 || movie.isFragmented ? Infinity : ticks / movie.timescale)
  const shown = entries.filter(({ mediaTime }) => mediaTime !== EMPTY)
  const entry = shown[0]
  if (entry === undefined) return undefined
  const emptyTicks = entries.slice(0, entries.indexOf(entry)).reduce((sum, { ticks }) => sum + ticks, 0)
  const emptySeconds = emptyTicks / movie.timescale
  if (shown.length > 1 || !entry.isNormal || entries.length === MAX_ENTRIES) {
    return severalEdits(shown.reduce((sum, each) => sum + secondsOf(each), emptySeconds))
  }
  const seconds = secondsOf(entry)
  const skippedSeconds = Number(entry.mediaTime) / track.timescale
  // Whole ticks of the track, as mediabunny counts them.
  const startsAt = Math.round(emptySeconds * track.timescale) / track.timescale
  if (!Number.isFinite(startsAt + skippedSeconds)) return severalEdits(Infinity)
  const restSeconds = track.duration / track.timescale - skippedSeconds - seconds
  return { isSingle: true, startsAt, endsAt: startsAt + seconds, skippedSeconds, restSeconds }
}

function severalEdits (endsAt: number): Edit {
  return { isSingle: false, startsAt: 0, endsAt, skippedSeconds: Infinity, restSeconds: Infinity }
}

interface Entry {
  /** 0: to the end. */
  ticks: number
  mediaTime: bigint
  isNormal: boolean
}

/** Fragments of a fragmented file have no place in its edit list (8.6.6.1). */
function readEntries (read: Read, list: Box): Entry[] {
  const isLarge = read(list.start, 1)[0] === 1
  const count = read(list.start + 4, 4).readUInt32BE()
  const entryBytes = isLarge ? 20 : 12
  return Array.from({ length: Math.min(count, MAX_ENTRIES) }, (_, index) => {
    const entry = read(list.start + 8 + index * entryBytes, entryBytes)
    return {
      ticks: isLarge ? Number(entry.readBigUInt64BE()) : entry.readUInt32BE(),
      mediaTime: isLarge ? entry.readBigInt64BE(8) : BigInt(entry.readInt32BE(4)),
      isNormal: entry.readInt32BE(entryBytes - 4) === NORMAL_RATE
    }
  })
}

interface Times {
  timescale: number
  duration: number
}

/** Of `mvhd` and `mdhd`, which begin alike (8.2.2, 8.4.2). */
function readTimes (read: Read, { start }: Box): Times {
  const bytes = read(start, 32)
  return bytes[0] === 1
    ? { timescale: bytes.readUInt32BE(20), duration: Number(bytes.readBigUInt64BE(24)) }
    : { timescale: bytes.readUInt32BE(12), duration: bytes.readUInt32BE(16) }
}

function find (read: Read, parent: Box, ...types: string[]): Box | undefined {
  let box: Box | undefined = parent
  for (const type of types) {
    if (box === undefined) return undefined
    box = firstOf(boxesIn(read, box.start, box.end), type)
  }
  return box
}

function firstOf (boxes: Iterable<Box>, type: string): Box | undefined {
  for (const box of boxes) if (box.type === type) return box
  return undefined
}

function * boxesIn (read: Read, start: number, end: number): Generator<Box> {
  while (start + HEADER_BYTES <= end) {
    const header = read(start, LARGE_HEADER_BYTES)
    if (header.length < HEADER_BYTES) return
    const isLarge = header.readUInt32BE() === 1 && header.length === LARGE_HEADER_BYTES
    const headerBytes = isLarge ? LARGE_HEADER_BYTES : HEADER_BYTES
    // A size of 0 reaches to the end.
    const size = (isLarge ? Number(header.readBigUInt64BE(8)) : header.readUInt32BE()) || end - start
    if (size < headerBytes) return
    yield { type: header.toString('latin1', 4, 8), start: start + headerBytes, end: Math.min(start + size, end) }
    start += size
  }
}
