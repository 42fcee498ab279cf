import { isIPv4 } from 'node:net'

/** The networks around one client. The owner of such a network owns all its clients. */
export interface ClientNetworks {
  family: 4 | 6
  /** The IPv4 /16 or the IPv6 /32 that a registry allocates to a provider. */
  provider: string
  /** The IPv4 /24, the longest prefix that is routed; or the IPv6 /48 of one site (RFC 6177). */
  site: string
}

/** Returns the networks around a client, by its key (client-address.ts); undefined for a key that is not an address. */
export function networksOf (clientKey: string): ClientNetworks | undefined {
  if (isIPv4(clientKey)) {
    const [first, second, third] = clientKey.split('.')
    return { family: 4, provider: `${first}.${second}.0.0/16`, site: `${first}.${second}.${third}.0/24` }
  }
  if (!clientKey.endsWith('::/64')) return undefined
  const [first, second, third] = clientKey.split(':')
  return { family: 6, provider: `${first}:${second}::/32`, site: `${first}:${second}:${third}::/48` }
}
