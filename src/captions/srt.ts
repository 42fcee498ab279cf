const TIME = '(?:(\\d{1,4}):)?(\\d{1,2}):(\\d{1,2})[,.](\\d{1,3})'
/** The two times of a cue. Some programs write the position of the text after them, which players ignore. */
const TIMING = new RegExp(`^\\s*${TIME}\\s*-->\\s*${TIME}(?:\\s.*)?$`)
const TIMING_ATTEMPT = /^\s*[\d:.,]+\s*-->/
const COUNTER = /^\s*\d+\s*$/
/** Positions of SubStation Alpha, such as `{\an8}`. */
const OVERRIDE = /\{\\[^}\n]*\}/g
const KEPT_TAG = /^<\/?[ibu]>$/i
const FONT_TAG = /^<\/?font\b[^>]*>$/i
/** An empty line would end the cue, so an empty line of its text becomes a line with a space. */
const EMPTY_TEXT = '&nbsp;'
/** The number of lines that {@link srtToVtt} adds before the first line. */
export const ADDED_LINES = 2

/**
 * Converts SRT to WebVTT line by line, so that line `n` of the input is line `n + ADDED_LINES` of the result. Counters
 * become empty lines. `<i>`, `<b>` and `<u>` stay, font tags and overrides are removed, and other markup becomes text.
 * A line that is not valid stays unchanged, and the parser of WebVTT reports it.
 */
export function srtToVtt (text: string): string {
  const lines = text.split('\n')
  const converted = ['WEBVTT', '']
  let cue: string[] | undefined
  const endCue = () => {
    for (const line of cueLines(cue ?? [])) converted.push(line)
    cue = undefined
  }
  for (const [index, line] of lines.entries()) {
    const timing = TIMING.exec(line)
    const isCounter = COUNTER.test(line) && lines[index + 1]?.includes('-->') === true
    if (cue !== undefined && timing === null && !isCounter && !TIMING_ATTEMPT.test(line)) {
      cue.push(line)
      continue
    }
    endCue()
    if (timing === null) converted.push(isCounter ? '' : line)
    else {
      converted.push(`${timeOf(timing.slice(1, 5))} --> ${timeOf(timing.slice(5, 9))}`)
      cue = []
    }
  }
  endCue()
  return converted.join('\n')
}

function timeOf ([hours = '0', minutes, seconds, fraction]: string[]): string {
  const units = [hours, minutes!, seconds!].map((unit) => unit.padStart(2, '0'))
  return `${units.join(':')}.${fraction!.padEnd(3, '0')}`
}

/** Returns the lines after the times of a cue as WebVTT. Empty lines at the end separate the cue from the next one. */
function cueLines (lines: string[]): string[] {
  let end = lines.length
  while (end > 0 && lines[end - 1]!.trim() === '') end--
  const text = cueText(lines.slice(0, end).join('\n')).split('\n')
  return lines.map((_, index) => (index < end ? text[index]!.trim() || EMPTY_TEXT : ''))
}

/** Returns the text of a cue as WebVTT. Tags without their pair are removed. */
function cueText (text: string): string {
  const parts = text.replaceAll(OVERRIDE, '').split(/(<[^<>\n]*>)/)
  const isPaired = arePaired(parts.filter((part) => KEPT_TAG.test(part)).map((tag) => tag.toLowerCase()))
  return parts.map((part) => textOf(part, isPaired)).join('')
}

function textOf (part: string, keepsTags: boolean): string {
  if (FONT_TAG.test(part)) return ''
  if (KEPT_TAG.test(part)) return keepsTags ? part.toLowerCase() : ''
  return part.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** Returns true if each tag is closed, in the order of nesting. */
function arePaired (tags: string[]): boolean {
  const open: string[] = []
  for (const tag of tags) {
    if (!tag.startsWith('</')) open.push(tag)
    else if (open.pop() !== tag.replace('/', '')) return false
  }
  return open.length === 0
}
