/**
 * H.264 puts at most 16 pictures out of order (ISO/IEC 14496-10, A.3.1); twice that, so that the first look sees a
 * whole pattern of B-frames.
 */
const LOOK_AHEAD = 32

export interface Timed {
  pts: number
}

/**
 * Gives pictures, which come in the order of decoding and know only when they are shown, a time of decoding: the times
 * of showing in rising order, earlier by as much as the reordering needs. Rising by at least 1, and before `pts`,
 * unless the pictures are out of all order. Holds 32 of them.
 */
export async function * withDecodeTimes<T extends Timed> (
  pictures: AsyncIterable<T>
): AsyncGenerator<T & { dts: number }> {
  const ahead: T[] = []
  /** When those ahead are shown, in rising order. */
  const times: number[] = []
  let delay = 0
  let last = -Infinity

  const next = () => {
    delay = Math.max(delay, ...ahead.map(({ pts }, index) => times[index]! - pts))
    // Where the reordering grows late in a film, times of decoding crowd before the next picture that is shown: a tick
    // for each has room there.
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
