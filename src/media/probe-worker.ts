import mediaInfoFactory from 'mediainfo.js'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { adtsDurationMs } from './adts-duration.js'
import { formatOf, type Container, type Track } from './media-formats.js'
import type { Probed } from './probe.js'

// V8 optimizes the parser's 2.6 MB of WebAssembly in 35 MB that it never gives back; a probe ends before that would pay.
setFlagsFromString('--wasm-tiering-budget=2000000000')

/**
 * How far the parser may read into a WAV file in a row: to its sound, past whatever text and pictures come before it. The sound itself it would look through
 * to its end, at 5 s of CPU a GB, and learn nothing more.
 */
const MAX_WAVE_BYTES = 4 * 1024 * 1024

/** MediaInfo's answer, as far as it is read here: values are strings or numbers, by field and version. */
type Fields = Record<string, string | number | undefined>

/** What a file is, by its content; null if it is none of the formats we take. One parser a file: a hostile one may leave it broken. */
export default async function probe (path: string): Promise<Probed | null> {
  const parser = await mediaInfoFactory({ format: 'object' })
  const file = openSync(path, 'r')
  try {
    const size = fstatSync(file).size
    const read = (into: Buffer, position: number) => readSync(file, into, 0, into.length, position)
    // One buffer for all reads: the parser copies what it is given, and a fresh one each would pile up faster than it is collected.
    let chunk = Buffer.alloc(0)
    const maxBytes = isWave(read) ? MAX_WAVE_BYTES : size
    const result = await parser.analyzeData(size, (length, position) => {
      // No bytes: the parser says what it has found by now.
      if (position >= maxBytes) return chunk.subarray(0, 0)
      if (chunk.length < length) chunk = Buffer.allocUnsafeSlow(length)
      const wanted = chunk.subarray(0, length)
      return wanted.subarray(0, read(wanted, position))
    })
    const tracks = (result.media?.track ?? []) as unknown as Fields[]
    const container = containerOf(tracks)
    const format = formatOf(container)
    if (format === undefined) return null
    const general = tracks[0]!
    const video = tracks.find((track) => track['@type'] === 'Video')
    const durationMs = container.format === 'ADTS' ? adtsDurationMs(read) : milliseconds(general.Duration)
    // Text that happens to start like an MP3 frame has no length: a file that plays has one.
    if (durationMs === null && format.type === 'audio') return null
    return { ...format, durationMs, width: pixels(video?.Width), height: pixels(video?.Height) }
  } finally {
    closeSync(file)
    parser.close()
  }
}

/** RIFF WAVE, and RF64, its form for more than 4 GiB (EBU Tech 3306). */
function isWave (read: (into: Buffer, position: number) => number): boolean {
  const head = Buffer.alloc(12)
  return read(head, 0) === 12 && /^(?:RIFF|RF64)....WAVE$/s.test(head.toString('latin1'))
}

function containerOf (tracks: Fields[]): Container {
  const general = tracks.find((track) => track['@type'] === 'General') ?? {}
  return {
    format: text(general.Format),
    profile: text(general.Format_Profile),
    brand: text(general.CodecID),
    tracks: tracks.flatMap((track) => trackOf(track) ?? [])
  }
}

function trackOf (fields: Fields): Track | undefined {
  const kind = fields['@type'] === 'Video' ? 'video' : fields['@type'] === 'Audio' ? 'audio' : undefined
  if (kind === undefined || fields.Format === undefined) return undefined
  return {
    kind,
    format: text(fields.Format),
    codecId: text(fields.CodecID),
    profile: text(fields.Format_Profile),
    bitDepth: fields.BitDepth === undefined ? null : Number(fields.BitDepth),
    bigEndian: fields.Format_Settings_Endianness === 'Big',
    unsigned: fields.Format_Settings_Sign === 'Unsigned'
  }
}

function text (value: string | number | undefined): string {
  return value === undefined ? '' : String(value)
}

/** Seconds to whole milliseconds; null for what is missing, or no sane length (a hostile header can claim anything). */
function milliseconds (seconds: string | number | undefined): number | null {
  const value = Math.round(Number(seconds) * 1000)
  return Number.isSafeInteger(value) && value > 0 ? value : null
}

function pixels (value: string | number | undefined): number | null {
  const number = Number(value)
  return Number.isInteger(number) && number > 0 && number < 2 ** 31 ? number : null
}
