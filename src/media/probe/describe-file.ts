import { closeSync, openSync } from 'node:fs'
import { viewOf, type FileView } from '../file-view.js'
import { formatOf, type ContainerName, type Description, type Probed, type ProbeRefusal } from '../media-formats.js'
import { withType } from '../typed-view.js'
import { adtsHeader, framesDurationMs, mp3Header } from './frame-duration.js'
import { readIsoFacts } from './iso-file.js'
import { readByMediabunny, type PacketDescription } from './mediabunny-reader.js'
import { readByMediaInfo } from './mediainfo-reader.js'
import { withoutPictures } from './picture-free-view.js'

/** mediabunny leaves out tracks of these that it cannot read: without a picture, MediaInfo is asked for one. */
const MAY_HOLD_PICTURES: ContainerName[] = ['mp4', 'm4v', 'mov', 'matroska', 'webm', 'ogg']

/** Describes a file by its content. Returns null for a format that is not accepted. */
export async function describe (path: string): Promise<Probed | ProbeRefusal | null> {
  const file = openSync(path, 'r')
  try {
    return await describeView(viewOf(file))
  } finally {
    closeSync(file)
  }
}

async function describeView (file: FileView): Promise<Probed | ProbeRefusal | null> {
  const view = withoutPictures(file)
  const iso = readIsoFacts(view)
  if (iso?.isPicture) return null
  if (iso?.isEncrypted) return 'media_encrypted'
  const found = await readByMediabunny(iso?.hasType === false ? withType(view) : view, iso)
  const description = found !== undefined && isWhole(found) ? found : await askMediaInfo(view, found)
  if (description === undefined || description === 'encrypted') return description ? 'media_encrypted' : null
  const format = formatOf(description)
  if (format === undefined) return null
  if (iso?.isTruncated) return 'media_truncated'
  const durationMs = durationOf(view, description)
  if (durationMs === null && isNoSound(description, found)) return null
  return { ...format, tracks: description.tracks, durationMs, ...description.size }
}

/** Of no length is text that happens to start like an MP3 frame, and MPEG audio of another layer. */
function isNoSound ({ container, tracks }: Description, found: PacketDescription | undefined): boolean {
  if (['mp3', 'adts'].includes(container)) return true
  return found === undefined && tracks.every(({ kind }) => kind === 'audio')
}

function isWhole (found: PacketDescription): found is PacketDescription & Description {
  const hasVideo = found.tracks.some((track) => track.kind === 'video')
  if (!hasVideo && MAY_HOLD_PICTURES.includes(found.container)) return false
  return found.tracks.every((track) => track.codec !== null)
}

/** MediaInfo names the codecs that mediabunny does not know, and describes what mediabunny cannot read. */
async function askMediaInfo (
  view: FileView,
  found: PacketDescription | undefined
): Promise<Description | 'encrypted' | undefined> {
  const told = await readByMediaInfo(view)
  if (told === 'encrypted' || found === undefined) return told
  if (told === undefined) return named(found, [])
  return hasHiddenVideo(found, told) ? told : named(found, told.tracks)
}

/** mediabunny leaves out compressed tracks of Matroska, and pictures in Ogg. */
function hasHiddenVideo (found: PacketDescription, told: Description): boolean {
  if (!['matroska', 'webm', 'ogg'].includes(found.container)) return false
  return [found, told].map(({ tracks }) => tracks.some(({ kind }) => kind === 'video')).join() === 'false,true'
}

/** The nth track of a kind has the nth name of that kind, if there are as many. */
function named (found: PacketDescription, told: Array<{ kind: string; codec: string }>): Description {
  const seen = { video: 0, audio: 0 }
  const tracks = found.tracks.map(({ codecId, codec, ...track }) => {
    const ofKind = <T extends { kind: string }>(all: T[]): T[] => all.filter(({ kind }) => kind === track.kind)
    const names = ofKind(told)
    const name = names.length === ofKind(found.tracks).length ? names[seen[track.kind]] : undefined
    seen[track.kind]++
    return { ...track, codec: codec ?? name?.codec ?? codecId }
  })
  return { ...found, tracks }
}

function durationOf (view: FileView, { container, durationMs }: Description): number | null {
  if (container === 'adts') return framesDurationMs(view, adtsHeader) ?? durationMs
  if (container === 'mp3') return framesDurationMs(view, mp3Header) ?? durationMs
  return durationMs
}
