import { KiB, MiB } from '../../bytes.js'
import { bytesAt, type FileView } from '../file-view.js'

/** What the pages of an Ogg file say (RFC 3533, 6). */
export interface OggFacts {
  /** The last page reaches beyond the end of the file. */
  isTruncated: boolean
  /** It holds pictures, which no browser plays from Ogg. */
  hasPictures: boolean
  /** The whole length of joined sounds; null if a codec is not known. */
  seconds: number | null
}

interface Page {
  flags: number
  /** The samples up to the end of the page, or -1 if no packet ends in it. */
  granule: number
  serial: number
  start: number
  end: number
}
/** One stream of sound, up to the next that begins behind it. */
interface Link {
  rate: number
  preSkip: number
  first: number | undefined
  last: number
}

const HEADER_BYTES = 27
const MAX_HEADER_BYTES = HEADER_BYTES + 255
const CAPTURE = Buffer.from('OggS\0', 'latin1')
const FIRST_PAGE = 2
/** About a gigabyte of sound; behind it, the length is unknown. */
const MAX_PAGES = 200_000
const MAX_JUNK_BYTES = MiB
/** A stream whose first page ends later than the longest page is a part of a broadcast, whose times began before. */
const LONGEST_PAGE_SECONDS = 20
const PICTURES = ['\x80theora', 'BBCD\0', 'OVP80']

/** Returns undefined for a file that does not begin with a page. */
export function readOggFacts (view: FileView): OggFacts | undefined {
  if (!bytesAt(view, 0, CAPTURE.length).equals(CAPTURE)) return undefined
  const links: Link[] = []
  const streams = new Map<number, Link | undefined>()
  let [hasPictures, isKnown, isInHead, end, pages] = [false, true, true, 0, 0]
  for (const page of pagesOf(view)) {
    end = page.end
    if (++pages > MAX_PAGES) return { isTruncated: false, hasPictures, seconds: null }
    if ((page.flags & FIRST_PAGE) === 0) {
      isInHead = false
      measure(streams.get(page.serial), page)
      continue
    }
    if (!isInHead) streams.clear()
    isInHead = true
    const head = bytesAt(view, page.start, 40)
    if (PICTURES.some((mark) => head.toString('latin1').startsWith(mark))) hasPictures = true
    const link = linkOf(head)
    streams.set(page.serial, link)
    // Only the first sound of those that play at once gives the length.
    const sounds = [...streams.values()].filter((sound) => sound !== undefined)
    if (link !== undefined && sounds.length === 1) links.push(link)
    if (link === undefined && !isSkeleton(head)) isKnown = false
  }
  return { isTruncated: end > view.size, hasPictures, seconds: isKnown ? lengthOf(links) : null }
}

function lengthOf (links: Link[]): number | null {
  let seconds = 0
  for (const { rate, preSkip, first = 0, last } of links) {
    const start = first > rate * LONGEST_PAGE_SECONDS ? first : preSkip
    seconds += Math.max(0, last - start) / rate
  }
  return seconds > 0 ? seconds : null
}

function measure (link: Link | undefined, { granule }: Page): void {
  if (link === undefined || granule < 0) return
  // The pages of headers end at 0.
  if (granule > 0) link.first ??= granule
  link.last = Math.max(link.last, granule)
}

/** Vorbis I, 4.2.2; RFC 7845, 5.1; the mapping of FLAC (RFC 9639, 10.1); the header of Speex. */
function linkOf (head: Buffer): Link | undefined {
  const mark = head.toString('latin1')
  let [rate, preSkip] = [0, 0]
  if (head.length < 30) return undefined
  if (mark.startsWith('\x01vorbis')) rate = head.readUInt32LE(12)
  else if (mark.startsWith('OpusHead')) [rate, preSkip] = [48_000, head.readUInt16LE(10)]
  else if (mark.startsWith('\x7fFLAC')) rate = head.readUIntBE(27, 3) >> 4
  else if (mark.startsWith('Speex   ') && head.length === 40) rate = head.readUInt32LE(36)
  return rate === 0 ? undefined : { rate, preSkip, first: undefined, last: 0 }
}

function isSkeleton (head: Buffer): boolean {
  return head.toString('latin1', 0, 8) === 'fishead\0'
}

/** Yields the pages of a file, also behind junk. The last may reach beyond the end of the file. */
function * pagesOf (view: FileView): Generator<Page> {
  const header = Buffer.alloc(MAX_HEADER_BYTES)
  let junkBytes = 0
  for (let position = 0; position < view.size;) {
    const length = view.read(header, position)
    const page = pageOf(header.subarray(0, length), position)
    if (page !== undefined) {
      yield page
      position = page.end
      continue
    }
    const next = nextCapture(view, position)
    junkBytes += next - position
    if (junkBytes > MAX_JUNK_BYTES) return
    position = next
  }
}

function pageOf (bytes: Buffer, position: number): Page | undefined {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, CAPTURE.length).equals(CAPTURE)) return undefined
  const segments = bytes[26]!
  let size = 0
  for (const lace of bytes.subarray(HEADER_BYTES, HEADER_BYTES + segments)) size += lace
  const start = position + HEADER_BYTES + segments
  return {
    flags: bytes[5]!,
    granule: Number(bytes.readBigInt64LE(6)),
    serial: bytes.readUInt32LE(14),
    start,
    end: start + size
  }
}

/** The next page behind a position, or the end of the file. */
function nextCapture (view: FileView, position: number): number {
  for (let at = position + 1; at < view.size && at < position + 2 * MAX_JUNK_BYTES; at += 64 * KiB) {
    const found = bytesAt(view, at, 64 * KiB + CAPTURE.length).indexOf(CAPTURE)
    if (found >= 0) return at + found
  }
  return view.size
}
