import { checkVtt, withoutHeader } from './check-vtt.js'
import type { CaptionFault, CaptionFormat } from './schema.js'
import { ADDED_LINES, srtToVtt } from './srt.js'
import { decodeText } from './text-encoding.js'

export type CaptionFile = { text: string; cues: number } | { faults: CaptionFault[] }

const NOT_TEXT = 'The file is not UTF-8, and has no byte order mark of UTF-16.'
const NO_CUES = 'The file has no cues.'
/** A problem document has at most as many errors. */
const MAX_FAULTS = 50

/** Reads a file as WebVTT. Returns its text and the number of its cues, or its faults in their order in the file. */
export function readCaptions (bytes: Uint8Array, format: CaptionFormat): CaptionFile {
  const given = decodeText(bytes)
  if (given === undefined) return { faults: [{ line: 1, column: 1, message: NOT_TEXT }] }
  const text = format === 'srt' ? srtToVtt(given) : withoutHeader(given)
  const { cues, faults } = checkVtt(text)
  if (faults.length > 0) return { faults: sorted(faults, format === 'srt' ? ADDED_LINES : 0).slice(0, MAX_FAULTS) }
  if (cues === 0) return { faults: [{ line: 1, column: 1, message: NO_CUES }] }
  return { text: text.endsWith('\n') ? text : `${text}\n`, cues }
}

function sorted (faults: CaptionFault[], addedLines: number): CaptionFault[] {
  return faults
    .map(({ line, ...rest }) => ({ line: Math.max(1, line - addedLines), ...rest }))
    .sort((a, b) => a.line - b.line || a.column - b.column)
}
