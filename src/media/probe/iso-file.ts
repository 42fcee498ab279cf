import { bytesAt, type FileView } from '../file-view.js'
import { boxAt, type Box } from '../iso-boxes.js'
import type { TrackFacts } from '../played-tracks.js'

/** What the boxes of an ISO or QuickTime file say that its readers do not. */
export interface IsoFacts extends TrackFacts {
  /** It has a `ftyp` box. */
  hasType: boolean
  /** HEIF, AVIF or Canon's raw pictures. */
  isPicture: boolean
  /** CENC or FairPlay. */
  isEncrypted: boolean
  /** Samples of picture or sound, their index or their fragments lie beyond the end of the file. */
  isTruncated: boolean
  /** Tracks without samples, as in the first part of a fragmented file. */
  isEmpty: boolean
  /** By the edits of the tracks, or else by their samples; null if a track has none, and for fragmented files. */
  seconds: number | null
}

const PICTURE_BRANDS = ['heic', 'heix', 'heim', 'heis', 'mif1', 'msf1', 'avif', 'avis', 'crx ']
const SOUND_BRANDS = ['M4A ', 'M4B ', 'M4P ']
const FIRST_BOXES = ['ftyp', 'styp', 'moov', 'mdat', 'free', 'skip', 'wide', 'pnot', 'uuid']
const ENCRYPTED_ENTRIES = ['encv', 'enca', 'drmi', 'drms']
const TRACK_PARENTS = ['mdia', 'minf', 'stbl', 'tref', 'edts']
/** A sane file has a few dozen; the parsers have their own limits. */
const MAX_BOXES = 2000
const BLOCK_BYTES = 64 * 1024

/** The boxes of one track by type. */
type TrackBoxes = Map<string, Box>

/** Returns undefined for a file that does not begin with a box. */
export function readIsoFacts (view: FileView): IsoFacts | undefined {
  const head = bytesAt(view, 0, 12).toString('latin1')
  if (!FIRST_BOXES.includes(head.slice(4, 8))) return undefined
  const brand = head.startsWith('ftyp', 4) ? head.slice(8) : ''
  const { tracks, movie, cutBox } = listTracks(view)
  const media = tracks.filter((track) => isMedia(view, track))
  return {
    hasType: movie.has('ftyp'),
    isPicture: PICTURE_BRANDS.includes(brand),
    isSound: SOUND_BRANDS.includes(brand),
    seconds: secondsOf(view, media, movie),
    isEncrypted: tracks.some((track) => ENCRYPTED_ENTRIES.includes(textAt(view, track.get('stsd'), 12))),
    isTruncated: isCut(cutBox, movie) || media.some((track) => samplesEnd(view, track) > view.size),
    isEmpty: media.length > 0 && !movie.has('moof') && media.every((track) => sampleCount(view, track) === 0),
    chapterTracks: new Set(tracks.flatMap((track) => chapterIds(view, track.get('chap')))),
    disabledTracks: new Set(tracks.filter((track) => !isEnabled(view, track)).map((track) => idOf(view, track)))
  }
}

/** The tracks, the boxes of the file and of `moov`, and the box of the file that reaches beyond its end. */
function listTracks (view: FileView): { tracks: TrackBoxes[]; movie: TrackBoxes; cutBox: Box | undefined } {
  const tracks: TrackBoxes[] = []
  const movie: TrackBoxes = new Map()
  let boxes = 0
  const walked = walk(0, view.size, undefined)
  return { tracks, movie, cutBox: walked < view.size ? boxAt(view, walked, Infinity) : undefined }

  /** Returns the end of the last box that was read. */
  function walk (start: number, end: number, track: TrackBoxes | undefined): number {
    let position = start
    while (position < end && boxes++ < MAX_BOXES) {
      const box = boxAt(view, position, end)
      if (box === undefined) break
      position = box.end
      if (track === undefined) {
        movie.set(box.type, box)
        if (box.type === 'moov') walk(box.start, box.end, undefined)
        if (box.type !== 'trak') continue
        const found: TrackBoxes = new Map()
        tracks.push(found)
        walk(box.start, box.end, found)
      } else {
        // QuickTime repeats `hdlr` in `minf`, for the kind of storage; the first is the kind of track.
        if (!track.has(box.type)) track.set(box.type, box)
        if (TRACK_PARENTS.includes(box.type)) walk(box.start, box.end, track)
      }
    }
    return position
  }
}

/** Material without an index is the start of a file; a cut index is none; and a cut fragment lacks its end. */
function isCut (cutBox: Box | undefined, movie: TrackBoxes): boolean {
  const hasMaterial = movie.has('mdat') || cutBox?.type === 'mdat'
  if (hasMaterial && !movie.has('moov') && !movie.has('moof')) return true
  if (cutBox === undefined) return false
  if (cutBox.type === 'moov') return true
  return ['mdat', 'moof'].includes(cutBox.type) && movie.has('mvex')
}

function numberAt (view: FileView, box: Box | undefined, offset: number): number {
  if (box === undefined || box.start + offset + 4 > box.end) return 0
  const bytes = bytesAt(view, box.start + offset, 4)
  return bytes.length === 4 ? bytes.readUInt32BE(0) : 0
}

function textAt (view: FileView, box: Box | undefined, offset: number): string {
  return box === undefined ? '' : bytesAt(view, box.start + offset, 4).toString('latin1')
}

function isMedia (view: FileView, track: TrackBoxes): boolean {
  return ['vide', 'soun'].includes(textAt(view, track.get('hdlr'), 8))
}

function sampleCount (view: FileView, track: TrackBoxes): number {
  return numberAt(view, track.get('stsz') ?? track.get('stz2'), 8)
}

function isEnabled (view: FileView, track: TrackBoxes): boolean {
  return (numberAt(view, track.get('tkhd'), 0) & 1) === 1
}

/** The id follows the times of creation and change, of 64 bits in version 1 (ISO/IEC 14496-12, 8.3.2). */
function idOf (view: FileView, track: TrackBoxes): number {
  const header = track.get('tkhd')
  const version = numberAt(view, header, 0) >>> 24
  return numberAt(view, header, version === 1 ? 20 : 12)
}

/** The longest track. */
function secondsOf (view: FileView, media: TrackBoxes[], movie: TrackBoxes): number | null {
  if (movie.has('mvex')) return null
  const timescale = timescaleOf(view, movie.get('mvhd'))
  const durations = media.map((track) => {
    if (!track.has('elst')) return samplesSeconds(view, track)
    const duration = durationOf(view, track.get('tkhd'))
    return duration === null || timescale === 0 ? null : duration / timescale
  })
  if (durations.some((duration) => duration === null)) return null
  return Math.max(0, ...durations.map((duration) => duration!)) || null
}

/** Of `mvhd` and `mdhd`. Version 1 has times of 64 bits, and the same fields behind them. */
function timescaleOf (view: FileView, header: Box | undefined): number {
  return numberAt(view, header, numberAt(view, header, 0) >>> 24 === 1 ? 20 : 12)
}

/** By the durations of the samples (ISO/IEC 14496-12, 8.6.1.2); a header is not always right. */
function samplesSeconds (view: FileView, track: TrackBoxes): number | null {
  const [times, timescale] = [track.get('stts'), timescaleOf(view, track.get('mdhd'))]
  if (times === undefined || timescale === 0) return null
  let ticks = 0
  for (const entry of entriesOf(view, times, 8, 8)) ticks += entry.readUInt32BE(0) * entry.readUInt32BE(4)
  return ticks === 0 ? null : ticks / timescale
}

/** In ticks of the movie; null if it is zero or unknown (all bits set). */
function durationOf (view: FileView, header: Box | undefined): number | null {
  const isWide = numberAt(view, header, 0) >>> 24 === 1
  const low = numberAt(view, header, isWide ? 32 : 20)
  const high = isWide ? numberAt(view, header, 28) : 0
  return low === 0xffffffff || high * 2 ** 32 + low === 0 ? null : high * 2 ** 32 + low
}

function chapterIds (view: FileView, chapters: Box | undefined): number[] {
  if (chapters === undefined) return []
  const count = Math.min(16, Math.floor((chapters.end - chapters.start) / 4))
  return Array.from({ length: count }, (_, i) => numberAt(view, chapters, 4 * i))
}

/** Where the last chunk of a track ends; 0 if the track has none, as in fragmented files. */
function samplesEnd (view: FileView, track: TrackBoxes): number {
  const [offsets, wide] = [track.get('stco'), track.get('co64')]
  const chunks = offsets ?? wide
  if (chunks === undefined) return 0
  const entryBytes = offsets === undefined ? 8 : 4
  let [furthest, last] = [0, 0]
  for (const entry of entriesOf(view, chunks, 8, entryBytes)) {
    last = entryBytes === 4 ? entry.readUInt32BE(0) : Number(entry.readBigUInt64BE(0))
    furthest = Math.max(furthest, last)
  }
  if (furthest === 0) return 0
  // The size is known of the last chunk of the table; of another chunk, only the start is known.
  return Math.max(furthest + 1, last + lastChunkBytes(view, track))
}

/** The bytes of the last chunk, by the sizes of the last samples (ISO/IEC 14496-12, 8.7.3 and 8.7.4). */
function lastChunkBytes (view: FileView, track: TrackBoxes): number {
  const [runs, sizes] = [track.get('stsc'), track.get('stsz')]
  const runCount = numberAt(view, runs, 4)
  const samples = runCount === 0 ? 0 : numberAt(view, runs, 8 + 12 * (runCount - 1) + 4)
  const [sameSize, sampleCount] = [numberAt(view, sizes, 4), numberAt(view, sizes, 8)]
  if (sizes === undefined || samples === 0 || samples > sampleCount) return 0
  if (sameSize > 0) return sameSize * samples
  let bytes = 0
  for (const entry of entriesOf(view, sizes, 12 + 4 * (sampleCount - samples), 4)) bytes += entry.readUInt32BE(0)
  return bytes
}

/** The entries of a table from an offset to the end of its box. */
function * entriesOf (view: FileView, box: Box, offset: number, entryBytes: number): Generator<Buffer> {
  for (let position = box.start + offset; position < box.end; position += BLOCK_BYTES) {
    const block = bytesAt(view, position, Math.min(BLOCK_BYTES, box.end - position))
    for (let i = 0; i + entryBytes <= block.length; i += entryBytes) yield block.subarray(i, i + entryBytes)
  }
}
