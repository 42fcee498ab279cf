import type { ContainerName, Description, Track } from './media-formats.js'

/** Containers of pictures that Chrome, Edge, Firefox and Safari play, and their sounds. */
const VIDEO_CONTAINERS: Partial<Record<ContainerName, { video: RegExp; audio: readonly string[] }>> = {
  mp4: { video: /^h264$/, audio: ['aac'] },
  m4v: { video: /^h264$/, audio: ['aac'] },
  webm: { video: /^vp[89]$/, audio: ['opus', 'vorbis'] }
}
const WAVE_SOUNDS = ['pcm_u8', 'pcm_s16le', 'pcm_s24le', 'pcm_f32le', 'pcm_mulaw', 'pcm_alaw']
const AUDIO_CONTAINERS: Partial<Record<ContainerName, readonly string[]>> = {
  mp4: ['aac'],
  m4v: ['aac'],
  webm: ['opus', 'vorbis'],
  mp3: ['mp3'],
  wav: WAVE_SOUNDS,
  adts: ['aac'],
  ogg: ['opus', 'vorbis'],
  flac: ['flac']
}

/** `profile_idc` of H.264 (ITU-T H.264, A.2) with 8 bits and 4:2:0: Baseline, Main and High. */
const H264_PROFILES = new Set([66, 77, 100])
/** Level 5.2 is 4K with 60 pictures a second. Hardware decoders take no more. */
const MAX_H264_LEVEL = 52
/** AAC-LC, HE-AAC and HE-AAC v2 (ISO/IEC 14496-3, audio object types). */
const AAC_OBJECT_TYPES = new Set([2, 5, 29])
const FULL_VP9_PROFILE = 0

/**
 * Returns whether Chrome, Edge, Firefox and Safari play a file as it is, on every common device. Null if the file does
 * not say enough about its tracks. The rule reads the track that a player chooses. Pure.
 */
export function isPlayableEverywhere ({ container, tracks }: Description): boolean | null {
  const video = tracks.find(({ kind }) => kind === 'video')
  const audio = chosenSound(tracks)
  if (video === undefined) return audio === undefined ? null : playsSound(container, audio)
  const known = VIDEO_CONTAINERS[container]
  if (known === undefined || !known.video.test(video.codec)) return false
  if (audio !== undefined && !known.audio.includes(audio.codec)) return false
  return both(playsPicture(video), audio === undefined ? true : playsProfile(audio))
}

function playsSound (container: ContainerName, audio: Track): boolean | null {
  if (AUDIO_CONTAINERS[container]?.includes(audio.codec) !== true) return false
  return container === 'adts' ? true : playsProfile(audio)
}

/** Players choose the first sound, or the one that the file names; files name their first. */
function chosenSound (tracks: Track[]): Track | undefined {
  return tracks.find(({ kind }) => kind === 'audio')
}

/** Null if the profile is unknown. */
function playsPicture ({ codec, profile, hdr }: Track): boolean | null {
  if (hdr === true) return false
  if (codec === 'vp8') return true
  if (profile === undefined || profile === null) return null
  if (codec === 'vp9') return vp9Profile(profile) === FULL_VP9_PROFILE
  const [, idc, level] = /^avc[13]\.([0-9a-f]{2})[0-9a-f]{2}([0-9a-f]{2})$/i.exec(profile) ?? []
  if (idc === undefined || level === undefined) return null
  return H264_PROFILES.has(Number.parseInt(idc, 16)) && Number.parseInt(level, 16) <= MAX_H264_LEVEL
}

/** Of `vp09.<profile>.<level>.<depth>`. A plain `vp9` is profile 0. */
function vp9Profile (profile: string): number {
  return Number(/^vp09\.(\d\d)/.exec(profile)?.[1] ?? 0)
}

function playsProfile ({ codec, profile }: Track): boolean | null {
  if (codec !== 'aac') return true
  const objectType = /^mp4a\.40\.(\d+)$/.exec(profile ?? '')?.[1]
  return objectType === undefined ? null : AAC_OBJECT_TYPES.has(Number(objectType))
}

/** False if one is false; else null if one is unknown. */
function both (one: boolean | null, other: boolean | null): boolean | null {
  if (one === false || other === false) return false
  return one === null || other === null ? null : true
}
