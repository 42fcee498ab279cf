import { addressKey } from '../http/client-address.js'
import { MINUTE } from '../time.js'
import type { SlidingWindow } from './sliding-window.js'

/**
 * The window that posted views have, for the views of streams. A refused stream is sent, and never leads to a block.
 */
export function createViewLimit (windows: SlidingWindow, perMinute: number) {
  const rule = { limit: perMinute, windowMs: MINUTE, blockAfter: 0 }
  return {
    /** Resolves with how to give the place back, or undefined when the address is at its limit. */
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
