import { createHash } from 'node:crypto'
import { MINUTE, type Clock } from '../time.js'
import { limitExceeded } from './limit-exceeded.js'
import type { SlidingWindow } from './sliding-window.js'

/**
 * Guards accounts against guessing from many addresses: `limit` failed logins a minute, 0 for any number. Never a lock,
 * since it ends with the window. Each login takes a place among the failures before its password is looked at, so that
 * parallel guesses can't slip by, and gives it back if it was right.
 */
export function createLoginGuard (windows: SlidingWindow, clock: Clock, limit: number) {
  const rule = { limit, windowMs: MINUTE, blockAfter: 0 }
  return {
    /** Throws `rate_limit_exceeded` when the account has had too many failures; answers how to give the place back. */
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
