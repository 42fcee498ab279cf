import { isIPv4, isIPv6 } from 'node:net'

const WITH_PORT = /^([\d.]+):\d{1,5}$/
const IN_BRACKETS = /^\[([^\]]*)\](?::\d{1,5})?$/

/**
 * Returns an `X-Forwarded-For` without the ports and brackets that some proxies write: `203.0.113.7:40001`,
 * `[2001:db8::1]:443`. Invalid addresses stay unchanged, because no proxy with such an address is trusted.
 */
export function withoutPorts (header: string): string {
  return header
    .split(',')
    .map((entry) => addressOf(entry.trim()))
    .join(', ')
}

function addressOf (entry: string): string {
  const v4 = WITH_PORT.exec(entry)?.[1]
  if (v4 !== undefined && isIPv4(v4)) return v4
  const v6 = IN_BRACKETS.exec(entry)?.[1]
  return v6 !== undefined && isIPv6(v6) ? v6 : entry
}
