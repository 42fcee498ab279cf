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
  video?: TrackPlan | undefined
  audio?: TrackPlan | undefined
  size?: { width: number; height: number } | undefined
  endsAt?: number | undefined
}

/** The plan for a file whose tracks could not be read. */
export function encodeAll (type: 'video' | 'audio'): TranscodePlan {
  const track = { index: undefined, copy: false }
  return type === 'video' ? { video: track, audio: track } : { audio: track }
}

/** The same plan without a copied track. */
export function encodeBoth (plan: TranscodePlan): TranscodePlan {
  const { video, audio } = plan
  return { ...plan, video: video && { ...video, copy: false }, audio: audio && { ...audio, copy: false } }
}

/**
 * Returns the plan for a second attempt, after a plan failed. It copies no track, and takes the size that ffmpeg shows.
 * If the plan that failed copied none, ffmpeg chooses the tracks. Undefined if nothing else is left.
 */
export function planAfter (plan: TranscodePlan, type: 'video' | 'audio'): TranscodePlan | undefined {
  const { video, audio, endsAt } = plan
  if (video?.copy || audio?.copy) return { ...encodeBoth(plan), size: undefined }
  return video?.index === undefined && audio?.index === undefined ? undefined : { ...encodeAll(type), endsAt }
}
