import { bytesAt, type FileView } from '../file-view.js'

/** Bytes at a position, as Latin-1. */
type Mark = [position: number, bytes: string]

/** Formats that are known and not accepted, because browsers do not play them, by the marks of their files. */
const FORMATS: Array<[format: string, ...marks: Mark[]]> = [
  ['an MPEG transport stream', [0, 'G'], [188, 'G'], [376, 'G']],
  // Blu-ray and camcorders put a time code of four bytes before each packet.
  ['an MPEG transport stream', [4, 'G'], [196, 'G'], [388, 'G']],
  ['MPEG-1 or MPEG-2 video', [0, '\0\0\x01\xba']],
  ['MPEG-1 or MPEG-2 video', [0, '\0\0\x01\xb3']],
  ['AIFF', [0, 'FORM'], [8, 'AIF']],
  ['a Core Audio file', [0, 'caff\0']],
  ['Windows Media', [0, '\x30\x26\xb2\x75\x8e\x66\xcf\x11']],
  ['Flash video', [0, 'FLV\x01']],
  ['RealMedia', [0, '.RMF']],
  ['WavPack', [0, 'wvpk']],
  ["Monkey's Audio", [0, 'MAC ']],
  ['Musepack', [0, 'MPCK']],
  ['Musepack', [0, 'MP+']],
  ['True Audio', [0, 'TTA1']],
  ['DSD sound', [0, 'DSD ']],
  ['DSD sound', [0, 'FRM8'], [12, 'DSD ']],
  ['Wave64', [0, 'riff\x2e\x91\xcf\x11']],
  ['AMR', [0, '#!AMR']],
  ['a picture', [0, '\xff\xd8\xff']],
  ['a picture', [0, '\x89PNG']],
  ['a picture', [0, 'GIF8']],
  ['a picture', [0, 'RIFF'], [8, 'WEBP']]
]
/** Three packets of a transport stream. */
const HEAD_BYTES = 400

/** Returns the name of a format that is not accepted, or undefined. */
export function otherFormatOf (view: FileView): string | undefined {
  const head = bytesAt(view, 0, HEAD_BYTES).toString('latin1')
  return FORMATS.find(([, ...marks]) => marks.every(([position, bytes]) => head.startsWith(bytes, position)))?.[0]
}
