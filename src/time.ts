/** The time in milliseconds. Injected, so that tests move time instead of sleeping. */
export interface Clock {
  /** Wall clock, since the Unix epoch: for dates that are stored, and for expiry that others can read. */
  now(): number
  /** Never goes back: for limits, leases, caches and whatever lasts within the process. */
  monotonicNow(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNow: () => performance.now()
}

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** ISO 8601 in UTC with `Z`, from epoch milliseconds. */
export function isoTime (milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** The UTC day a moment falls in, counted in whole days since the Unix epoch. */
export function utcDay (milliseconds: number): number {
  return Math.floor(milliseconds / DAY)
}

/** `YYYY-MM-DD` of a day as {@link utcDay} counts it. */
export function isoDay (day: number): string {
  return isoTime(day * DAY).slice(0, 10)
}
