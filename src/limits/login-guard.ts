import { createHash } from 'node:crypto'
import { MINUTE, type Clock } from '../time.js'
import { limitExceeded } from './limit-exceeded.js'
import type { SlidingWindow } from './sliding-window.js'

/**
 * Protects accounts against guesses from many addresses. An account may have `limit` failed logins a minute; 0 means no
 * limit. An account is never locked, because the limit ends with the window. Each login counts as a failure before its
 * password is checked, so that parallel guesses cannot exceed the limit. A correct password removes the login from the
 * count.
 */
export function createLoginGuard (windows: SlidingWindow, clock: Clock, limit: number) {
  const rule = { limit, windowMs: MINUTE, blockAfter: 0 }
  return {
    /**
     * Counts a login as a failure, and resolves with a function that removes it from the count. **Throws**
     * `rate_limit_exceeded` after too many failures of the account.
     */
    async reserve (email: string): Promise<() => void> {
      if (limit === 0) return () => {}
      const key = `failed-login:${createHash('sha256').update(email).digest('base64url')}`
      const verdict = await windows.hit(key, rule)
      if (!verdict.allowed) throw limitExceeded(verdict, rule, clock.now())
      return () => {
        windows.undo(key).catch(() => {})
      }
    }
  }
}
