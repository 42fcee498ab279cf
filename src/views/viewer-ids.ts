import { createHmac } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { isIP, isIPv4 } from 'node:net'
import { addressKey } from '../http/client-address.js'

/** How much of a viewer's address the log keeps. */
export type AddressMode = 'full' | 'truncated' | 'hashed'

/** What the log says of a viewer: `address` as it is shown, and what counts as one viewer. */
export interface ViewerName {
  address: string
  addressKey: string
}

export interface ViewerNames {
  of(address: string): ViewerName
  /** What becomes of a name that was given under another mode. */
  rename(name: ViewerName): ViewerName
  /** Every key that an address may stand under in the database. */
  keysOf(address: string): string[]
}

/** Stands for whoever was erased. */
export const ERASED = 'erased'
/** No address begins with it. */
const KEYED = '#'
/** NIST SP 800-107 lets an HMAC be cut; with 128 bits two of a billion viewers meet with a chance of 10^-21. */
const KEY_BYTES = 16
/** What the log shows of it: enough to tell viewers apart by eye. */
const SHOWN_LENGTH = 10

/** A key that belongs to nobody and can't be made from an address, of these random bytes. */
export function anonymousKey (random: Buffer): string {
  return KEYED + random.subarray(0, KEY_BYTES).toString('base64url')
}

/**
 * Names viewers. With a secret, what counts as one viewer is an HMAC-SHA256 of the address (of an IPv6 one's /64), the
 * same in every mode: uniques stay exact, and without the secret no address can be found by trying. Truncated addresses
 * are the /24 of IPv4, the /48 of IPv6.
 */
export function createViewerNames (mode: AddressMode, secret: Buffer | undefined): ViewerNames {
  const keyed = (key: string) =>
    secret === undefined || key.startsWith(KEYED)
      ? key
      : KEYED + createHmac('sha256', secret).update(key).digest().subarray(0, KEY_BYTES).toString('base64url')
  const shown = (address: string, key: string) => {
    if (mode === 'full' || address === ERASED) return address
    return mode === 'truncated' ? truncated(address) : `viewer-${key.slice(1, 1 + SHOWN_LENGTH)}`
  }
  return {
    of (address) {
      const key = keyed(addressKey(address))
      return { address: shown(address, key), addressKey: key }
    },
    rename ({ address, addressKey }) {
      const key = keyed(addressKey)
      return { address: shown(address, key), addressKey: key }
    },
    keysOf: (address) => [...new Set([addressKey(address), keyed(addressKey(address))])]
  }
}

/** The network of an address; what is no address stays as it is. */
function truncated (address: string): string {
  if (isIP(address) === 0) return address
  // An IPv6 address that embeds an IPv4 one would show it whole.
  const client = addressKey(address)
  if (isIPv4(client)) return `${client.split('.').slice(0, 3).join('.')}.0/24`
  const { parts } = ipaddr.IPv6.parse(address.split('%')[0]!)
  return `${parts
    .slice(0, 3)
    .map((part) => part.toString(16))
    .join(':')}::/48`
}
