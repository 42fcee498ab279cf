import mediaInfoFactory from 'mediainfo.js'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { MiB } from '../../bytes.js'
import { adtsDurationMs } from './adts-duration.js'
import { formatOf, type Container, type Track } from '../media-formats.js'
import { isWave, withoutPictures } from './picture-free-view.js'
import type { Probed } from '../media-formats.js'

/**
 * The parser reads a WAV file only to this position, which is after the texts and pictures at the start. Otherwise it
 * would read all samples, at 5 s of CPU per GB, without a better result.
 */
const MAX_WAVE_BYTES = 4 * MiB

/**
 * The used part of MediaInfo's result. Values are strings or numbers, depending on the field and the version of
 * MediaInfo.
 */
type Fields = Record<string, string | number | undefined>

/**
 * Describes a file by its content. Returns null for a format that is not accepted. Each file gets a new parser, because
 * a hostile file may corrupt the parser's memory.
 */
export async function describe (path: string): Promise<Probed | null> {
  const parser = await mediaInfoFactory({ format: 'object' })
  const file = openSync(path, 'r')
  try {
    const view = withoutPictures({
      size: fstatSync(file).size,
      read: (into, position) => readSync(file, into, 0, into.length, position)
    })
    // All reads share one buffer, because the parser copies the bytes. New buffers would fill the memory faster than
    // they are freed.
    let chunk = Buffer.alloc(0)
    const maxBytes = isWave(view) ? MAX_WAVE_BYTES : view.size
    const result = await parser.analyzeData(view.size, (length, position) => {
      // After an empty read, the parser returns its result so far.
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
    // A text file can start like an MP3 frame, but it has no duration. Every playable audio file has a duration.
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

/**
 * Converts seconds to whole milliseconds. Returns null for a missing or absurd duration, because a hostile header can
 * contain any number.
 */
function milliseconds (seconds: string | number | undefined): number | null {
  const value = Math.round(Number(seconds) * 1000)
  return Number.isSafeInteger(value) && value > 0 ? value : null
}

function pixels (value: string | number | undefined): number | null {
  const number = Number(value)
  return Number.isInteger(number) && number > 0 && number < 2 ** 31 ? number : null
}
