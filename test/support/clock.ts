import type { Clock } from '../../src/time.js'

/** A clock whose wall time and monotonic time are the same. */
export const clockOf = (now: () => number): Clock => ({ now, monotonicNow: now })
