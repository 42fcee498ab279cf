/**
 * H.264 reorders at most 16 pictures (ISO/IEC 14496-10, A.3.1). Twice that number, so that the first lookahead contains
 * a whole pattern of B-frames.
 */
const LOOK_AHEAD = 32

export interface Timed {
  pts: number
}

/**
 * Adds decode times to pictures that arrive in decode order and have only presentation times. The decode times are the
 * presentation times in rising order, moved earlier by the delay of the reordering. Each is at least 1 tick after the
 * last one and before its `pts`, unless the order of the pictures is invalid. It holds 32 pictures.
 */
export async function * withDecodeTimes<T extends Timed> (
  pictures: AsyncIterable<T>
): AsyncGenerator<T & { dts: number }> {
  const ahead: T[] = []
  /** The presentation times of the pictures in `ahead`, in rising order. */
  const times: number[] = []
  let delay = 0
  let last = -Infinity

  const next = () => {
    delay = Math.max(delay, ...ahead.map(({ pts }, index) => times[index]! - pts))
    // If the reordering grows late in a film, decode times cluster before the next presented picture. LOOK_AHEAD leaves
    // a tick for each of them.
    const latest = Math.min(times.shift()! - delay, ...ahead.map(({ pts }) => pts)) - LOOK_AHEAD
    last = Math.max(last + 1, latest)
    return { ...ahead.shift()!, dts: last }
  }

  for await (const picture of pictures) {
    ahead.push(picture)
    let place = times.length
    while (place > 0 && times[place - 1]! > picture.pts) place--
    times.splice(place, 0, picture.pts)
    if (ahead.length > LOOK_AHEAD) yield next()
  }
  while (ahead.length > 0) yield next()
}
