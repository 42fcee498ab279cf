import type { Input, InputAudioTrack, InputTrack, InputVideoTrack } from 'mediabunny'

/** What the boxes of an ISO file say about its tracks that mediabunny does not. */
export interface TrackFacts {
  /** Ids of tracks that are only pictures of chapters. */
  chapterTracks: Set<number>
  /** Declared as sound: a track of pictures is a slide show beside it. */
  isSound: boolean
  /** Ids of tracks that are not presented (ISO/IEC 14496-12, 8.3.2). */
  disabledTracks: Set<number>
}

/** The tracks of picture and sound, without covers, chapter pictures and thumbnails, and the two that play. */
export interface MediaTracks {
  all: InputTrack[]
  video: InputVideoTrack | undefined
  audio: InputAudioTrack | undefined
}

/** Codecs that every browser plays. */
const COMMON_SOUNDS: Array<string | null> = ['aac', 'mp3']

/**
 * Returns the tracks of a file. The default picture plays, or else the first. Of the sounds, a commentary plays last,
 * and one that every browser plays goes before others.
 */
export async function mediaTracks (input: Input, facts: TrackFacts | undefined): Promise<MediaTracks> {
  const tracks = await input.getTracks()
  const pictures = await pictureTracks(await input.getVideoTracks(), facts)
  const sounds = await input.getAudioTracks()
  const kept = new Set([...pictures, ...sounds].map(({ id }) => id))
  return {
    all: tracks.filter(({ id }) => kept.has(id)),
    video: await best(pictures, pictureMerits),
    audio: await best(sounds, soundMerits)
  }
}

/** A codec without a name is one of thumbnails and covers, or very old. */
async function pictureTracks (tracks: InputVideoTrack[], facts: TrackFacts | undefined): Promise<InputVideoTrack[]> {
  const films = tracks.filter(({ id }) => facts?.chapterTracks.has(id) !== true)
  const codecs = await Promise.all(films.map((track) => track.getCodec()))
  const known = films.filter((_, index) => codecs[index] !== null)
  if (known.length > 0) return known
  return films.filter(({ id }) => facts?.isSound !== true && facts?.disabledTracks.has(id) !== true)
}

async function pictureMerits (track: InputVideoTrack): Promise<boolean[]> {
  return [(await track.getDisposition()).default]
}

async function soundMerits (track: InputAudioTrack): Promise<boolean[]> {
  const { commentary, visuallyImpaired, hearingImpaired, default: isDefault } = await track.getDisposition()
  const codec = await track.getCodec()
  const isMain = !(commentary || visuallyImpaired || hearingImpaired)
  return [isMain, COMMON_SOUNDS.includes(codec), codec !== null, isDefault]
}

/** Returns the track whose first merit that differs is true. Of equal tracks, it returns the first. */
async function best<Track> (tracks: Track[], merits: (track: Track) => Promise<boolean[]>): Promise<Track | undefined> {
  const ranked = await Promise.all(
    tracks.map(async (track) => ({ track, rank: (await merits(track)).map(Number).join('') }))
  )
  return ranked.sort((one, other) => other.rank.localeCompare(one.rank))[0]?.track
}
