import { networksOf } from '../http/client-networks.js'
import type { WindowCheck, WindowRule } from './sliding-window.js'

/**
 * The limit of a network, as a multiple of the limit of one client. It is enough for many people in the network, and
 * bounds one person who owns the whole network. An IPv4 /24 is often shared by many people, so its factor is higher
 * than that of an IPv6 site.
 */
const FACTORS = { ipv6Provider: 64, ipv6Site: 8, ipv4Site: 32 }

/**
 * Returns the checks of the networks around a client, widest first. Returns an empty list if the key is not an address.
 * The checks never block a network, because a block would also lock out the client's neighbours.
 */
export function networkChecks (group: string, clientKey: string, { limit, windowMs }: WindowRule): WindowCheck[] {
  const networks = networksOf(clientKey)
  if (networks === undefined) return []
  const check = (network: string, factor: number): WindowCheck => ({
    key: `${group}:${network}`,
    rule: { limit: factor * limit, windowMs, blockAfter: 0 }
  })
  if (networks.family === 4) return [check(networks.site, FACTORS.ipv4Site)]
  return [check(networks.provider, FACTORS.ipv6Provider), check(networks.site, FACTORS.ipv6Site)]
}
