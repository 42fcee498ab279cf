/** `index` counts the tracks of its kind from 0; undefined is the first one that is no cover picture. */
export interface TrackPlan {
  index: number | undefined
  copy: boolean
}

/**
 * What ffmpeg makes of a file; a missing track is left out. `size` is the displayed one of the result, and `endsAt` the
 * seconds at which its edits end, if known.
 */
export interface TranscodePlan {
  video?: TrackPlan
  audio?: TrackPlan
  size?: { width: number; height: number }
  endsAt?: number
}

/** The plan for a file whose tracks could not be read. */
export function encodeAll (type: 'video' | 'audio'): TranscodePlan {
  const track = { index: undefined, copy: false }
  return type === 'video' ? { video: track, audio: track } : { audio: track }
}
