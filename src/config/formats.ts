import { isIP } from 'node:net'

/** Splits a list at its commas, and removes empty items. */
export function listOf (value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

export function isAddressOrCidr (value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

/** Returns true for an HTTP origin without a path or a slash at the end. */
export function isOrigin (value: string): boolean {
  try {
    const url = new URL(value)
    return /^https?:$/.test(url.protocol) && url.origin === value.toLowerCase()
  } catch {
    return false
  }
}
