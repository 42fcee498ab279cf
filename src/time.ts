/** The time in milliseconds. It is injected, so that tests change the time instead of sleeping. */
export interface Clock {
  /** Wall clock since the Unix epoch, for stored dates and for expiry times in responses. */
  now(): number
  /** Never goes back. For limits, leases, caches and other durations within the process. */
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

/** Converts epoch milliseconds to ISO 8601 in UTC with `Z`. */
export function isoTime (milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** Returns the UTC day of a time, counted in whole days since the Unix epoch. */
export function utcDay (milliseconds: number): number {
  return Math.floor(milliseconds / DAY)
}

/** Converts a day of {@link utcDay} to `YYYY-MM-DD`. */
export function isoDay (day: number): string {
  return isoTime(day * DAY).slice(0, 10)
}
