import { isIPv4 } from 'node:net'

/** Networks around one client. Whoever has one of them has all the clients in it. */
export interface ClientNetworks {
  family: 4 | 6
  /** IPv4 /16, or IPv6 /32: what a registry allocates to a provider. */
  provider: string
  /** IPv4 /24, the longest prefix that is routed; or IPv6 /48, what one site has (RFC 6177). */
  site: string
}

/** Returns the networks around a client, by its key (client-address.ts), or undefined for a key that is no address. */
export function networksOf (clientKey: string): ClientNetworks | undefined {
  if (isIPv4(clientKey)) {
    const [first, second, third] = clientKey.split('.')
    return { family: 4, provider: `${first}.${second}.0.0/16`, site: `${first}.${second}.${third}.0/24` }
  }
  if (!clientKey.endsWith('::/64')) return undefined
  const [first, second, third] = clientKey.split(':')
  return { family: 6, provider: `${first}:${second}::/32`, site: `${first}:${second}:${third}::/48` }
}
