import mediaInfoFactory from 'mediainfo.js'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { MiB } from '../../bytes.js'
import { adtsDurationMs } from './adts-duration.js'
import { formatOf, type Container, type Track } from '../media-formats.js'
import { isWave, withoutPictures } from './picture-free-view.js'
import type { Probed } from '../media-formats.js'

/**
 * How far the parser may read into a WAV file in a row: to its sound, past the text and pictures before it. It would
 * read the sound itself to its end, at 5 s of CPU a GB, and learn nothing more.
 */
const MAX_WAVE_BYTES = 4 * MiB

/** MediaInfo's answer, as far as it is read here: values are strings or numbers, by field and version. */
type Fields = Record<string, string | number | undefined>

/**
 * Describes a file by its content. Returns null for a format that is not accepted. Each file has a parser of its own,
 * because a hostile file may leave it broken.
 */
export async function describe (path: string): Promise<Probed | null> {
  const parser = await mediaInfoFactory({ format: 'object' })
  const file = openSync(path, 'r')
  try {
    const view = withoutPictures({
      size: fstatSync(file).size,
      read: (into, position) => readSync(file, into, 0, into.length, position)
    })
    // One buffer for all reads: the parser copies it, and new buffers would pile up faster than they are collected.
    let chunk = Buffer.alloc(0)
    const maxBytes = isWave(view) ? MAX_WAVE_BYTES : view.size
    const result = await parser.analyzeData(view.size, (length, position) => {
      // At no bytes the parser returns what it has found so far.
      if (position >= maxBytes) return chunk.subarray(0, 0)
      if (chunk.length < length) chunk = Buffer.allocUnsafeSlow(length)
      const wanted = chunk.subarray(0, length)
      return wanted.subarray(0, view.read(wanted, position))
    })
    const tracks = (result.media?.track ?? []) as unknown as Fields[]
    const container = containerOf(tracks)
    const format = formatOf(container)
    if (format === undefined) return null
    const general = tracks[0]!
    const video = tracks.find((track) => track['@type'] === 'Video')
    const durationMs = container.format === 'ADTS' ? adtsDurationMs(view.read) : milliseconds(general.Duration)
    // Text that happens to start like an MP3 frame has no length: a file that plays has one.
    if (durationMs === null && format.type === 'audio') return null
    return { ...format, durationMs, width: pixels(video?.Width), height: pixels(video?.Height) }
  } finally {
    closeSync(file)
    parser.close()
  }
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
