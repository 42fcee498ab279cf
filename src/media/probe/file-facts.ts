import type { FileView } from '../file-view.js'
import type { Refusal } from '../media-formats.js'
import { isCutAvi } from './avi-file.js'
import { readFlacFacts, type FlacFacts } from './flac-end.js'
import { readIsoFacts, type IsoFacts } from './iso-file.js'
import { readMatroskaFacts, type MatroskaFacts } from './matroska-file.js'
import { readOggFacts, type OggFacts } from './ogg-file.js'
import { otherFormatOf } from './other-formats.js'

/** What is read of a file beside the parsers: of at most one container. */
export interface FileFacts {
  iso: IsoFacts | undefined
  matroska: MatroskaFacts | undefined
  ogg: OggFacts | undefined
  flac: FlacFacts | undefined
}

export function readFacts (view: FileView): FileFacts {
  return {
    iso: readIsoFacts(view),
    matroska: readMatroskaFacts(view),
    ogg: readOggFacts(view),
    flac: readFlacFacts(view)
  }
}

/** Returns why a file is refused before it is parsed, or undefined. */
export function refusalOf (view: FileView, { iso, matroska, ogg, flac }: FileFacts): Refusal | undefined {
  if (iso?.isPicture) return unaccepted('a picture (HEIF, AVIF or CR3)')
  if (iso?.isEncrypted) return { code: 'media_encrypted' }
  const isTruncated = [iso, matroska, ogg, flac].some((facts) => facts?.isTruncated) || isCutAvi(view)
  if (isTruncated) return { code: 'media_truncated' }
  if (iso?.isEmpty) return unaccepted('a part of an MP4 without pictures or sound')
  if (ogg?.hasPictures) return unaccepted('an Ogg file with pictures (Theora)')
  const other = otherFormatOf(view)
  return other === undefined ? undefined : unaccepted(other)
}

function unaccepted (format: string): Refusal {
  return { code: 'unsupported_media_format', format }
}
