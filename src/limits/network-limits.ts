import { networksOf } from '../http/client-networks.js'
import type { WindowCheck, WindowRule } from './sliding-window.js'

/**
 * How many times the limit of one client a network has: enough for many people behind it, and a bound for one person
 * who has all of it. An IPv4 /24 is often shared by many people, so its factor is higher than that of an IPv6 site.
 */
const FACTORS = { ipv6Provider: 64, ipv6Site: 8, ipv4Site: 32 }

/**
 * Returns the checks of the networks around a client, widest first; none for a key that is no address. They bound the
 * rate only: a block of a network would lock out the neighbours of whoever caused it.
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
