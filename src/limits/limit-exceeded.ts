import { ApiError } from '../errors.js'
import { isoTime } from '../time.js'
import type { Verdict, WindowRule } from './sliding-window.js'

/**
 * Returns the 429 error of a refused request. Its members and headers contain the limit and the time to retry. Seconds
 * are rounded up.
 */
export function limitExceeded (
  verdict: Pick<Verdict, 'blocked' | 'retryAfterMs'>,
  { limit, windowMs }: Pick<WindowRule, 'limit' | 'windowMs'>,
  now: number
): ApiError {
  const retryAfter = Math.max(1, Math.ceil(verdict.retryAfterMs / 1000))
  return new ApiError(verdict.blocked ? 'client_blocked' : 'rate_limit_exceeded', {
    detail: verdict.blocked ? undefined : `Rate limit exceeded: ${limit} per ${windowMs / 60_000} minute`,
    extra: { limit, remaining: 0, reset_at: isoTime(now + verdict.retryAfterMs), retry_after: retryAfter },
    headers: {
      'retry-after': String(retryAfter),
      'x-ratelimit-limit': String(limit),
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(retryAfter)
    }
  })
}
