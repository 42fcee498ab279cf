import type { Edit } from './edits.js'

interface Shown {
  at: number
  endsAt: number
}

/** Times are whole ticks; this is less than one of any clock in use, and more than a rounding error. */
const EPSILON_SECONDS = 1e-6
/** The usual encoder delay of AAC. Sound of at most this length outside an edit is padding. */
const PRIMING_SAMPLES = 2112
/** H.264 reorders at most 16 pictures: after this many beyond an edit, no picture of the edit follows. */
const MAX_PICTURES_AFTER = 64

/** The edit cannot be cut out without encoding the pictures again. */
export class Uncuttable extends Error {}

/**
 * Leaves out pictures that are shown before or after an edit. **Throws** {@link Uncuttable} where a picture of the
 * edit may need one outside: the edit does not begin with a key picture, or is interleaved with others.
 */
export async function * trimPictures<T extends Shown & { key: boolean }> (
  pictures: AsyncIterable<T>,
  edit: Edit | undefined
): AsyncGenerator<T> {
  if (edit === undefined) return yield * pictures
  let [before, after] = [0, 0]
  let firstAt: number | undefined
  for await (const picture of pictures) {
    const isBefore = picture.at < edit.startsAt - EPSILON_SECONDS
    const isAfter = picture.at >= edit.endsAt - EPSILON_SECONDS
    if (isBefore && firstAt !== undefined && after === 0) throw new Uncuttable('pictures from before the edit follow')
    if (isBefore) before++
    if (isAfter) after++
    if (after > MAX_PICTURES_AFTER) return
    if (isBefore || isAfter) continue
    if (after > 0) throw new Uncuttable('pictures from after the edit come first')
    if (before > 0 && !picture.key && firstAt === undefined) throw new Uncuttable('the edit begins between key frames')
    firstAt ??= picture.at
    if (before > 0 && picture.at < firstAt) throw new Uncuttable('pictures before the key frame of the edit')
    yield { ...picture, endsAt: Math.min(picture.endsAt, edit.endsAt) }
  }
}

/** Leaves out sound before and after an edit, down to a frame; the delay and padding of an encoder stay. */
export async function * trimSounds<T extends Shown> (
  sounds: AsyncIterable<T>,
  edit: Edit | undefined,
  sampleRate: number
): AsyncGenerator<T> {
  if (edit === undefined) return yield * sounds
  const { keepsStart, keepsEnd } = paddingOf(edit, sampleRate)
  const lastAt = edit.endsAt + (keepsEnd ? PRIMING_SAMPLES / sampleRate : 0)
  for await (const sound of sounds) {
    if (!keepsStart && sound.at < edit.startsAt - EPSILON_SECONDS) continue
    if (keepsEnd ? sound.at >= lastAt : sound.endsAt > lastAt + EPSILON_SECONDS) return
    yield sound
  }
}

/** Tells if the sound before and after an edit is only the delay and the padding of an encoder. */
export function paddingOf (edit: Edit, sampleRate: number): { keepsStart: boolean; keepsEnd: boolean } {
  const seconds = PRIMING_SAMPLES / sampleRate + EPSILON_SECONDS
  return { keepsStart: edit.skippedSeconds <= seconds, keepsEnd: edit.restSeconds <= seconds }
}
