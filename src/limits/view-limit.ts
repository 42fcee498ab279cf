import { addressKey } from '../http/client-address.js'
import { MINUTE } from '../time.js'
import type { SlidingWindow } from './sliding-window.js'

/**
 * Limits the views of streams with the window of posted views. A stream over the limit is still sent, and never leads
 * to a block.
 */
export function createViewLimit (windows: SlidingWindow, perMinute: number) {
  const rule = { limit: perMinute, windowMs: MINUTE, blockAfter: 0 }
  return {
    /**
     * Counts a view, and resolves with a function that removes the view from the count. Resolves with undefined if the
     * address is at its limit.
     */
    async reserve (address: string): Promise<(() => void) | undefined> {
      if (perMinute === 0) return () => {}
      const key = `view:${addressKey(address)}`
      const { allowed } = await windows.hit(key, rule)
      return allowed
        ? () => {
            windows.undo(key).catch(() => {})
          }
        : undefined
    }
  }
}
