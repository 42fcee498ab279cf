import { createHmac, timingSafeEqual } from 'node:crypto'
import { MINUTE, SECOND } from '../../time.js'

/** The tolerance of Mux's own libraries. Here, it also applies to times in the future. */
const TOLERANCE_MS = 5 * MINUTE

/**
 * Returns whether a webhook has a recent signature of Mux: `mux-signature: t=<Unix seconds>,v1=<hex>`. The signature is
 * the HMAC-SHA256 of `t`, a dot and the raw body. `t` is at most five minutes old or ahead, but the SDK accepts any
 * time in the future. Pure; compares in constant time.
 */
export function isSignedByMux (body: Buffer, header: string | undefined, secret: string, now: number): boolean {
  const parts = (header ?? '').split(',').map((part) => part.trim().split('=', 2) as [string, string?])
  const [time, ...others] = parts.filter(([name]) => name === 't').map(([, value]) => value ?? '')
  if (time === undefined || others.length > 0 || !/^\d{1,12}$/.test(time)) return false
  if (Math.abs(now - Number(time) * SECOND) > TOLERANCE_MS) return false
  const expected = createHmac('sha256', secret).update(`${time}.`).update(body).digest()
  return parts.some(
    ([name, value = '']) =>
      name === 'v1' && /^[\da-f]{64}$/i.test(value) && timingSafeEqual(Buffer.from(value, 'hex'), expected)
  )
}
