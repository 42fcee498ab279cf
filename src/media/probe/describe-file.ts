import { closeSync, openSync } from 'node:fs'
import { viewOf, type FileView } from '../file-view.js'
import { formatOf, type Description, type Probed, type Refusal } from '../media-formats.js'
import { isPlayableEverywhere } from '../playable-everywhere.js'
import { withType } from '../typed-view.js'
import { isAvi } from './avi-file.js'
import { readFacts, refusalOf, type FileFacts } from './file-facts.js'
import { adtsHeader, framesDurationMs, mp3Header } from './frame-duration.js'
import { readByMediabunny, type PacketDescription } from './mediabunny-reader.js'
import { readByMediaInfo } from './mediainfo-reader.js'
import { withoutPictures } from './picture-free-view.js'
import { waveFactSeconds } from './wave-fact.js'

/** Describes a file by its content. Returns null for a format that is not accepted. */
export async function describe (path: string): Promise<Probed | { refused: Refusal } | null> {
  const file = openSync(path, 'r')
  try {
    return await describeView(viewOf(file))
  } finally {
    closeSync(file)
  }
}

async function describeView (file: FileView): Promise<Probed | { refused: Refusal } | null> {
  const view = withoutPictures(file)
  const facts = readFacts(view)
  const refused = refusalOf(view, facts)
  if (refused !== undefined) return { refused }
  const typed = facts.iso?.hasType === false ? withType(view) : view
  // mediabunny reads no AVI, and would search it for frames of MP3.
  const found = isAvi(view) ? undefined : await readByMediabunny(typed, facts)
  const description = isWhole(found) ? named(found, []) : await askMediaInfo(view, found)
  if (description === 'encrypted') return { refused: { code: 'media_encrypted' } }
  const format = description && formatOf(description)
  if (description === undefined || format === undefined) return null
  const durationMs = durationOf(view, description, facts)
  if (durationMs === null && isNoSound(description, found)) return null
  const playableEverywhere = isPlayableEverywhere(description)
  return { ...format, tracks: description.tracks, playableEverywhere, durationMs, ...description.size }
}

/** Of no length is text that happens to start like an MP3 frame, and MPEG audio of another layer. */
function isNoSound ({ container, tracks }: Description, found: PacketDescription | undefined): boolean {
  if (['mp3', 'adts'].includes(container)) return true
  return found === undefined && tracks.every(({ kind }) => kind === 'audio')
}

function isWhole (found: PacketDescription | undefined): found is PacketDescription {
  return found !== undefined && !found.hidesPictures && found.tracks.every((track) => track.codec !== null)
}

/** MediaInfo names the codecs that mediabunny does not know, and describes what mediabunny cannot read. */
async function askMediaInfo (
  view: FileView,
  found: PacketDescription | undefined
): Promise<Description | 'encrypted' | undefined> {
  const told = await readByMediaInfo(view)
  if (told === 'encrypted' || found === undefined) return told
  if (told === undefined) return named(found, [])
  const isPicture = ({ kind }: { kind: string }): boolean => kind === 'video'
  const isHidden = found.hidesPictures && !found.tracks.some(isPicture) && told.tracks.some(isPicture)
  return isHidden ? told : named(found, told.tracks)
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

function durationOf (view: FileView, { container, durationMs }: Description, { ogg }: FileFacts): number | null {
  if (container === 'ogg') return milliseconds(ogg?.seconds) ?? durationMs
  if (container === 'wav') return milliseconds(waveFactSeconds(view)) ?? durationMs
  if (container === 'adts') return framesDurationMs(view, adtsHeader) ?? durationMs
  if (container === 'mp3') return framesDurationMs(view, mp3Header) ?? durationMs
  return durationMs
}

function milliseconds (seconds: number | null | undefined): number | null {
  return seconds == null ? null : Math.round(seconds * 1000) || null
}
