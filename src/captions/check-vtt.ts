import webvtt, { type VttError } from 'webvtt-parser'
import type { CaptionFault } from './schema.js'

const SIGNATURE = /^WEBVTT(?:[ \t]|$)/
const TOO_DEEP = 'The tags of a cue are nested too deeply.'

/** Returns WebVTT without the header lines after its signature, such as `Kind:`, which players ignore. */
export function withoutHeader (text: string): string {
  const lines = text.split('\n')
  if (!SIGNATURE.test(lines[0]!)) return text
  for (let index = 1; isHeader(lines[index]); index++) lines[index] = ''
  return lines.join('\n')
}

function isHeader (line: string | undefined): boolean {
  return line !== undefined && line !== '' && !line.includes('-->')
}

/**
 * Checks WebVTT by the parser of the W3C's validator. Returns the number of cues and all faults, with line and column
 * from 1. The parser does not know regions, so they are hidden from it.
 */
export function checkVtt (text: string): { cues: number; faults: CaptionFault[] } {
  const lines = withoutRegions(text.split('\n'))
  const checked = lines.join('\n')
  try {
    const { cues, errors } = new webvtt.WebVTTParser().parse(checked, 'subtitles/captions/descriptions')
    if (errors.length === 0) return { cues: cues.length, faults: [] }
    const structural = countErrors(new webvtt.WebVTTParser().parse(checked, 'metadata').errors)
    return { cues: cues.length, faults: errors.map((error) => faultOf(error, lines, structural)) }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { cues: 0, faults: [{ line: 1, column: 1, message: TOO_DEEP }] }
  }
}

function withoutRegions (lines: string[]): string[] {
  let isInRegion = false
  return lines.map((line, index) => {
    if (/^REGION[ \t]*$/.test(line) && lines[index - 1] === '') isInRegion = true
    else if (line === '' || line.includes('-->')) isInRegion = false
    if (isInRegion) return ''
    return line.includes('-->') ? line.replace(/[ \t]+region:[^ \t]+/, '') : line
  })
}

function countErrors (errors: VttError[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const error of errors) counts.set(keyOf(error), (counts.get(keyOf(error)) ?? 0) + 1)
  return counts
}

const keyOf = ({ message, line, col }: VttError) => `${line}:${col ?? ''}:${message}`

/**
 * Returns an error with its place in the file. For an error in the text of a cue, which `structural` does not contain,
 * the parser reports the line after the text, and the column in the whole text.
 */
function faultOf (error: VttError, lines: string[], structural: Map<string, number>): CaptionFault {
  const { message, line, col = 1 } = error
  const left = structural.get(keyOf(error)) ?? 0
  if (left > 0) {
    structural.set(keyOf(error), left - 1)
    return { line: Math.min(line, lines.length), column: col, message }
  }
  let first = line - 1
  while (first > 0 && !lines[first - 1]!.includes('-->')) first--
  let column = col
  while (first < line - 2 && column > lines[first]!.length + 1) column -= lines[first++]!.length + 1
  return { line: first + 1, column, message }
}
