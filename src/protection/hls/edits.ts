import { bytesAt, type FileView } from '../../media/file-view.js'
import { boxesIn, type Box } from '../../media/iso-boxes.js'

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

/** Two edits are several, and empty ones rarely repeat. */
const MAX_ENTRIES = 64
const EMPTY = -1n
const NORMAL_RATE = 0x10000

/** Reads the edit lists (ISO/IEC 14496-12, 8.6.6) of a file, none if it is no ISO media file. Holds a few bytes. */
export function readEdits (view: FileView): Edits {
  const edits: Edits = new Map()
  for (const movie of boxesIn(view, 0, view.size)) {
    if (movie.type !== 'moov') continue
    const boxes = [...boxesIn(view, movie.start, movie.end)]
    const header = boxes.find(({ type }) => type === 'mvhd')
    const timescale = header === undefined ? 0 : readTimes(view, header).timescale
    const isFragmented = boxes.some(({ type }) => type === 'mvex')
    for (const track of boxes.filter(({ type }) => type === 'trak')) {
      const { id, edit } = trackEdit(view, track, { timescale, isFragmented })
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

function trackEdit (view: FileView, track: Box, movie: Movie): { id: number; edit: Edit | undefined } {
  const header = find(view, track, 'tkhd')
  const isLarge = header !== undefined && bytesAt(view, header.start, 1)[0] === 1
  const id = header === undefined ? 0 : bytesAt(view, header.start + (isLarge ? 20 : 12), 4).readUInt32BE()
  const times = find(view, track, 'mdia', 'mdhd')
  const list = find(view, track, 'edts', 'elst')
  if (times === undefined || list === undefined) return { id, edit: undefined }
  return { id, edit: readList(view, list, readTimes(view, times), movie) }
}

/** Edit durations count in ticks of the movie, media times in ticks of the track. */
function readList (view: FileView, list: Box, track: Times, movie: Movie): Edit | undefined {
  const entries = readEntries(view, list)
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
function readEntries (view: FileView, list: Box): Entry[] {
  const isLarge = bytesAt(view, list.start, 1)[0] === 1
  const count = bytesAt(view, list.start + 4, 4).readUInt32BE()
  const entryBytes = isLarge ? 20 : 12
  return Array.from({ length: Math.min(count, MAX_ENTRIES) }, (_, index) => {
    const entry = bytesAt(view, list.start + 8 + index * entryBytes, entryBytes)
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
function readTimes (view: FileView, { start }: Box): Times {
  const bytes = bytesAt(view, start, 32)
  return bytes[0] === 1
    ? { timescale: bytes.readUInt32BE(20), duration: Number(bytes.readBigUInt64BE(24)) }
    : { timescale: bytes.readUInt32BE(12), duration: bytes.readUInt32BE(16) }
}

function find (view: FileView, parent: Box, ...types: string[]): Box | undefined {
  let box: Box | undefined = parent
  for (const type of types) {
    if (box === undefined) return undefined
    box = firstOf(boxesIn(view, box.start, box.end), type)
  }
  return box
}

function firstOf (boxes: Iterable<Box>, type: string): Box | undefined {
  for (const box of boxes) if (box.type === type) return box
  return undefined
}
