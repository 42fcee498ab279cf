import ipaddr from 'ipaddr.js'

/** Returns true if an address is in a list of addresses and CIDRs. An IPv4-mapped IPv6 address counts as IPv4. */
export function isInAddressList (address: string, list: readonly string[]): boolean {
  const bare = address.split('%')[0]!
  if (!ipaddr.isValid(bare)) return false
  const client = ipaddr.process(bare)
  return list.some((entry) => {
    const [network, bits] = networkOf(entry)
    return network.kind() === client.kind() && client.match(network, bits)
  })
}

/** Returns the network of an entry and the length of its prefix. A single address is a network of one. */
function networkOf (entry: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  if (entry.includes('/')) return mappedToIPv4(ipaddr.parseCIDR(entry))
  const address = ipaddr.process(entry)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

/** Returns a network of IPv4-mapped addresses as a network of IPv4. */
function mappedToIPv4 ([network, bits]: [ipaddr.IPv4 | ipaddr.IPv6, number]): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  if (network.kind() === 'ipv4' || bits < 96) return [network, bits]
  const v6 = network as ipaddr.IPv6
  return v6.isIPv4MappedAddress() ? [v6.toIPv4Address(), bits - 96] : [network, bits]
}
