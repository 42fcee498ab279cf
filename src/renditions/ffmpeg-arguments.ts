import type { Encoder } from './encoders.js'
import type { RenditionPlan, VideoPlan } from './rendition-plan.js'

/** As {@link planRendition} allows it. ffmpeg refuses larger pictures before it allocates them. */
const MAX_PIXELS = 8192 * 4320
const KEY_FRAME_SECONDS = 2

export interface TranscodeOrder {
  path: string
  target: string
  plan: RenditionPlan
  encoder: Encoder
  threads: number
}

/**
 * Returns the arguments of ffmpeg for a rendition. The streams of the result start at 0, and chapters and metadata,
 * such as the place of a recording, are left out. ffmpeg may open only files, because a hostile file could contain
 * URLs.
 */
export function transcodeArguments ({ path, target, plan, encoder, threads }: TranscodeOrder): string[] {
  const { video, audioIndex } = plan
  return [
    ...['-nostdin', '-v', 'error', '-protocol_whitelist', 'file,pipe', '-y', '-progress', 'pipe:1'],
    ...(video === undefined ? [] : encoder.device),
    ...['-threads', String(threads), '-max_pixels', String(MAX_PIXELS), '-i', path],
    ...['-map_metadata', '-1', '-map_chapters', '-1', '-dn', '-sn'],
    ...(video === undefined ? ['-vn'] : videoArguments(video, encoder, threads)),
    ...(audioIndex === undefined ? ['-an'] : audioArguments(audioIndex)),
    ...['-movflags', '+faststart', '-f', video === undefined ? 'ipod' : 'mp4', target]
  ]
}

function videoArguments ({ index, filters, maxKbits }: VideoPlan, encoder: Encoder, threads: number): string[] {
  return [
    ...['-map', `0:${index}`, '-vf', [...filters, ...encoder.filters].join(',')],
    ...encoder.output(maxKbits),
    ...['-threads:v', String(threads), '-force_key_frames', `expr:gte(t,n_forced*${KEY_FRAME_SECONDS})`],
    // The clock of MPEG. Without it, the times of a variable rate are rounded to whole pictures.
    ...['-fps_mode', 'vfr', '-enc_time_base', '1/90000']
  ]
}

/**
 * Sound starts with the pictures: a later start and gaps become silence, because players treat them in different ways.
 */
function audioArguments (index: number): string[] {
  return [
    ...['-map', `0:${index}`, '-c:a', 'aac', '-ac', '2', '-b:a', '128k'],
    ...['-af', 'aresample=48000:async=1:min_hard_comp=0.02:first_pts=0']
  ]
}
