import ipaddr from 'ipaddr.js'

/**
 * What counts as one client: an IPv4 address (also when mapped into IPv6), or the /64 of an IPv6 one, since that is what
 * one subscriber line is given (RFC 6177). Something that is no address stands for itself.
 */
export function addressKey (address: string): string {
  if (!address.includes(':')) return address
  const bare = address.split('%')[0]!
  if (!ipaddr.IPv6.isValid(bare)) return address
  const parsed = ipaddr.IPv6.parse(bare)
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString()
  return `${parsed.parts.slice(0, 4).map((part) => part.toString(16)).join(':')}::/64`
}
