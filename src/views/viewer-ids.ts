import { createHmac } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { isIP, isIPv4 } from 'node:net'
import { addressKey } from '../http/client-address.js'

/** The part of a viewer's address that the log keeps. */
export type AddressMode = 'full' | 'truncated' | 'hashed'

/** The identity of a viewer in the log: the displayed address, and the key for counting viewers. */
export interface ViewerId {
  address: string
  addressKey: string
}

/** The address of an erased viewer. */
export const ERASED = 'erased'
/** The prefix of HMAC keys. No address begins with it. */
const KEYED = '#'
/** NIST SP 800-107 permits truncated HMACs. With 128 bits, two of a billion viewers collide with a chance of 10^-21. */
const KEY_BYTES = 16
/** Characters of the key that the log shows: enough to tell viewers apart by eye. */
const SHOWN_LENGTH = 10

/** Returns a key from random bytes or an HMAC. It never equals a plain address. */
export function anonymousKey (random: Buffer): string {
  return KEYED + random.subarray(0, KEY_BYTES).toString('base64url')
}

/**
 * Identifies viewers. With a secret, the key is an HMAC-SHA256 of the IPv4 address, or of the /64 of an IPv6 address.
 * The key is the same in every mode, so counts of unique viewers stay exact. Without the secret, an address cannot be
 * found by trying all addresses.
 */
export class ViewerIds {
  readonly #mode: AddressMode
  readonly #secret: Buffer | undefined

  constructor (mode: AddressMode, secret: Buffer | undefined) {
    this.#mode = mode
    this.#secret = secret
  }

  /** Returns the id of the viewer at an address. */
  identify (address: string): ViewerId {
    return this.convert({ address, addressKey: addressKey(address) })
  }

  /** Converts an id of a less strict mode to this mode. */
  convert ({ address, addressKey }: ViewerId): ViewerId {
    const key = this.#keyed(addressKey)
    return { address: this.#shown(address, key), addressKey: key }
  }

  /** Returns every key that an address may have in the database. */
  keysOf (address: string): string[] {
    const key = addressKey(address)
    return [...new Set([key, this.#keyed(key)])]
  }

  #keyed (key: string): string {
    if (this.#secret === undefined || key.startsWith(KEYED)) return key
    return anonymousKey(createHmac('sha256', this.#secret).update(key).digest())
  }

  /** Truncated addresses are the /24 of IPv4 and the /48 of IPv6. */
  #shown (address: string, key: string): string {
    if (this.#mode === 'full' || address === ERASED) return address
    return this.#mode === 'truncated' ? truncated(address) : `viewer-${key.slice(1, 1 + SHOWN_LENGTH)}`
  }
}

/** Returns the network of an address. Other text is returned unchanged. */
function truncated (address: string): string {
  if (isIP(address) === 0) return address
  // An IPv6 address may embed an IPv4 address, and its /48 would show all of that address.
  const client = addressKey(address)
  if (isIPv4(client)) return `${client.split('.').slice(0, 3).join('.')}.0/24`
  const { parts } = ipaddr.IPv6.parse(address.split('%')[0]!)
  return `${parts
    .slice(0, 3)
    .map((part) => part.toString(16))
    .join(':')}::/48`
}
