import { bytesAt, type FileView } from '../file-view.js'
import { boxAt } from '../iso-boxes.js'

interface Patch {
  position: number
  bytes: Buffer
}

/**
 * Maximum number of headers that are searched for pictures. Normal files have a few dozen. Pictures after further
 * headers stay, and the CPU limit of the parser applies.
 */
const MAX_HEADERS = 2000

/**
 * Returns a view of a file without cover pictures. MediaInfo would read each picture completely, which takes 14 s for 8
 * MB in an MP3 file. The view skips ID3v2 tags at the start. It renames pictures of FLAC, MP4 and WAV to padding, so
 * that offsets stay the same.
 */
export function withoutPictures (file: FileView): FileView {
  const offset = id3Bytes(file)
  const view: FileView = {
    size: file.size - offset,
    read: (into, position) => file.read(into, position + offset)
  }
  const patches = [...flacPatches(view), ...mp4Patches(view), ...waveChunkPatches(view)]
  return patches.length === 0 ? view : { size: view.size, read: patched(view, patches) }
}

function patched (view: FileView, patches: Patch[]): FileView['read'] {
  return (into, position) => {
    const length = view.read(into, position)
    for (const patch of patches) {
      for (const [i, byte] of patch.bytes.entries()) {
        const at = patch.position + i - position
        if (at >= 0 && at < length) into[at] = byte
      }
    }
    return length
  }
}

/**
 * Returns the length of the ID3v2 tags at the start (https://id3.org/id3v2.4.0-structure). Sizes have 28 bits, and a
 * flag means that a footer follows.
 */
function id3Bytes (file: FileView): number {
  let length = 0
  for (let i = 0; i < MAX_HEADERS; i++) {
    const head = bytesAt(file, length, 10)
    if (head.length < 10 || head.toString('latin1', 0, 3) !== 'ID3') break
    if (head.subarray(6).some((byte) => byte > 0x7f)) break
    const size = (head[6]! << 21) | (head[7]! << 14) | (head[8]! << 7) | head[9]!
    const next = length + 10 + size + ((head[5]! & 0x10) === 0 ? 0 : 10)
    if (next >= file.size) break
    length = next
  }
  return length
}

/** Returns patches for the metadata blocks of FLAC (RFC 9639, 8.1): pictures (type 6) become padding (type 1). */
function flacPatches (view: FileView): Patch[] {
  const patches: Patch[] = []
  if (bytesAt(view, 0, 4).toString('latin1') !== 'fLaC') return patches
  let position = 4
  for (let i = 0; i < MAX_HEADERS; i++) {
    const head = bytesAt(view, position, 4)
    if (head.length < 4) break
    const isLast = head[0]! & 0x80
    if ((head[0]! & 0x7f) === 6) patches.push({ position, bytes: Buffer.from([isLast | 1]) })
    if (isLast !== 0) break
    position += 4 + head.readUIntBE(1, 3)
  }
  return patches
}

/**
 * Returns patches for `covr` in the iTunes metadata lists that players read: moov/udta/meta/ilst and moov/meta/ilst.
 */
function mp4Patches (view: FileView): Patch[] {
  let headers = 0
  const patches: Patch[] = []
  const parents: Record<string, string[]> = {
    file: ['moov'],
    moov: ['udta', 'meta'],
    udta: ['meta'],
    meta: ['ilst'],
    ilst: ['covr']
  }
  const first = bytesAt(view, 4, 4).toString('latin1')
  if (!['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'pnot'].includes(first)) return patches
  walk('file', 0, view.size)
  return patches

  function walk (parent: string, start: number, end: number): void {
    for (let position = start; position < end && headers++ < MAX_HEADERS;) {
      const box = boxAt(view, position, end)
      if (box === undefined) return
      if (parents[parent]!.includes(box.type)) {
        if (box.type === 'covr') patches.push({ position: position + 4, bytes: Buffer.from('free') })
        else walk(box.type, box.type === 'meta' ? metaStart(view, box.start) : box.start, box.end)
      }
      position = box.end
    }
  }
}

/**
 * Returns the start of the boxes in `meta`. A version and flags precede the boxes in ISO files, but not in QuickTime
 * files.
 */
function metaStart (view: FileView, start: number): number {
  return bytesAt(view, start + 4, 4).toString('latin1') === 'hdlr' ? start : start + 4
}

/** Returns patches that rename ID3 chunks of a RIFF WAVE file to `JUNK`. */
function waveChunkPatches (view: FileView): Patch[] {
  const patches: Patch[] = []
  if (!isWave(view)) return patches
  let position = 12
  for (let i = 0; i < MAX_HEADERS; i++) {
    const head = bytesAt(view, position, 8)
    if (head.length < 8) break
    if (/^id3 $/i.test(head.toString('latin1', 0, 4))) patches.push({ position, bytes: Buffer.from('JUNK') })
    const size = head.readUInt32LE(4)
    position += 8 + size + (size % 2)
  }
  return patches
}

/** Returns whether a file is RIFF WAVE, or RF64, the format for more than 4 GiB (EBU Tech 3306). */
export function isWave (view: FileView): boolean {
  return /^(?:RIFF|RF64)[^]{4}WAVE$/.test(bytesAt(view, 0, 12).toString('latin1'))
}
