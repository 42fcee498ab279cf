import ipaddr from 'ipaddr.js'

/** IPv6 prefixes whose last 32 bits are the IPv4 address of the client: translators and tunnels. */
const EMBEDDING_IPV4 = [
  '::ffff:0:0/96', // IPv4-mapped, RFC 4291
  '::ffff:0:0:0/96', // IPv4-translated, RFC 2765
  '64:ff9b::/96', // NAT64, RFC 6052
  '64:ff9b:1::/48' // local NAT64, RFC 8215, with prefixes of 96 bits
].map((cidr) => ipaddr.IPv6.parseCIDR(cidr))
const SIX_TO_FOUR = ipaddr.IPv6.parseCIDR('2002::/16')
const TEREDO = ipaddr.IPv6.parseCIDR('2001::/32')

/**
 * Returns the key of a client: an IPv4 address, also if IPv6 embeds it, or the /64 of an IPv6 address. One subscriber
 * line has a /64 (RFC 6177). A text that is not an address is returned unchanged.
 */
export function addressKey (address: string): string {
  if (!address.includes(':')) return address
  const bare = address.split('%')[0]!
  if (!ipaddr.IPv6.isValid(bare)) return address
  const parsed = ipaddr.IPv6.parse(bare)
  return embeddedIPv4(parsed) ?? `${hex(parsed.parts.slice(0, 4))}::/64`
}

/**
 * Returns the embedded IPv4 address. In 6to4 it follows the first 16 bits (RFC 3056, section 2). In Teredo the last 32
 * bits contain the client's address inverted (RFC 4380, section 4).
 */
function embeddedIPv4 (address: ipaddr.IPv6): string | undefined {
  const [, second, third, , , , seventh, eighth] = address.parts as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ]
  if (EMBEDDING_IPV4.some((prefix) => address.match(prefix))) return ipv4(seventh, eighth)
  if (address.match(SIX_TO_FOUR)) return ipv4(second, third)
  return address.match(TEREDO) ? ipv4(seventh ^ 0xffff, eighth ^ 0xffff) : undefined
}

const ipv4 = (high: number, low: number): string => [high >> 8, high & 255, low >> 8, low & 255].join('.')
const hex = (parts: number[]): string => parts.map((part) => part.toString(16)).join(':')
