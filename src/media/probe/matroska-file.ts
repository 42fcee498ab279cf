import { KiB, MiB } from '../../bytes.js'
import { bytesAt, type FileView } from '../file-view.js'
import type { TrackFacts } from '../played-tracks.js'
import { elementAt, elementsIn, unsignedAt, vintAt, type Element } from './matroska-elements.js'

/** What the head of a Matroska or WebM file says that its readers do not (RFC 9559, 5.1). */
export interface MatroskaFacts extends TrackFacts {
  /** The segment reaches beyond the end of the file. */
  isTruncated: boolean
  /** How many tracks of pictures are declared. */
  pictureTracks: number
  /** Ticks of the TimestampScale that a frame takes, by the number of a track of picture or sound; 0 if unknown. */
  frameTicks: Map<number, number>
}
interface TrackEntry {
  number: number
  type: number
  frameNanoseconds: number
}

const EBML_HEAD = Buffer.from('1a45dfa3', 'hex')
const [SEGMENT, INFO, TRACKS, CLUSTER] = [0x18538067, 0x1549a966, 0x1654ae6b, 0x1f43b675]
const [TIMESTAMP_SCALE, DEFAULT_DURATION, TRACK_ENTRY] = [0x2ad7b1, 0x23e383, 0xae]
const [TRACK_NUMBER, TRACK_TYPE] = [0xd7, 0x83]
const [SIMPLE_BLOCK, BLOCK_GROUP, BLOCK] = [0xa3, 0xa0, 0xa1]
const [PICTURE, SOUND] = [1, 2]
const NANOSECONDS_A_TICK = 1_000_000
/** Encoders write the tracks in front of everything that is large. */
const HEAD_BYTES = 256 * KiB
/** Several pictures of a film. A cover has one. */
const STILL_BYTES = 4 * MiB

/** Returns undefined for a file that does not begin with an EBML head. */
export function readMatroskaFacts (view: FileView): MatroskaFacts | undefined {
  if (!bytesAt(view, 0, 4).equals(EBML_HEAD)) return undefined
  const head = bytesAt(view, 0, HEAD_BYTES)
  const segment = find(head, 0, SEGMENT)
  const inside = segment === undefined ? [] : [...elementsIn(head, segment.start, segment.start + segment.size)]
  const info = inside.find(({ id }) => id === INFO)
  const scale = (info && numberIn(head, info, TIMESTAMP_SCALE)) ?? NANOSECONDS_A_TICK
  const tracks = inside.filter(({ id }) => id === TRACKS).flatMap((element) => entriesOf(head, element))
  const media = tracks.filter(({ type }) => type === PICTURE || type === SOUND)
  const pictures = tracks.filter(({ type }) => type === PICTURE)
  const cluster = inside.find(({ id }) => id === CLUSTER)
  const hasSound = tracks.some(({ type }) => type === SOUND)
  return {
    isTruncated: segment !== undefined && segment.size !== Infinity && segment.start + segment.size > view.size,
    pictureTracks: pictures.length,
    frameTicks: new Map(media.map(({ number, frameNanoseconds }) => [number, frameNanoseconds / scale])),
    chapterTracks: new Set(),
    isSound: false,
    disabledTracks: hasSound && cluster !== undefined ? stills(view, pictures, cluster) : new Set()
  }
}

function find (bytes: Buffer, start: number, id: number): Element | undefined {
  for (const element of elementsIn(bytes, start, bytes.length)) if (element.id === id) return element
  return undefined
}

function numberIn (bytes: Buffer, { start, size }: Element, id: number): number | undefined {
  for (const element of elementsIn(bytes, start, start + size)) {
    if (element.id === id) return unsignedAt(bytes, element.start, element.size)
  }
  return undefined
}

function entriesOf (bytes: Buffer, { start, size }: Element): TrackEntry[] {
  const entries = [...elementsIn(bytes, start, start + size)].filter(({ id }) => id === TRACK_ENTRY)
  return entries.map((entry) => ({
    number: numberIn(bytes, entry, TRACK_NUMBER) ?? 0,
    type: numberIn(bytes, entry, TRACK_TYPE) ?? 0,
    frameNanoseconds: numberIn(bytes, entry, DEFAULT_DURATION) ?? 0
  }))
}

/** The tracks of pictures that have at most one frame where a film has several: covers beside a sound. */
function stills (view: FileView, pictures: TrackEntry[], cluster: Element): Set<number> {
  const frames = new Map<number, number>()
  const bytes = bytesAt(view, cluster.start, pictures.length === 0 ? 0 : STILL_BYTES)
  for (let position = 0; position < bytes.length;) {
    const element = elementAt(bytes, position)
    if (element === undefined) break
    const { id, start, size } = element
    if (id === SIMPLE_BLOCK || id === BLOCK) {
      const number = vintAt(bytes, start)?.value ?? 0
      frames.set(number, (frames.get(number) ?? 0) + 1)
    }
    position = id === CLUSTER || id === BLOCK_GROUP ? start : start + size
  }
  return new Set(pictures.map(({ number }) => number).filter((number) => (frames.get(number) ?? 0) <= 1))
}
