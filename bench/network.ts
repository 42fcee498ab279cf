import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The machine's TCP: `cubic` is Linux's own choice. */
export const congestionControl = (): string =>
  readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'latin1').trim()

/**
 * Reno is what every Linux has and lets any network choose; CUBIC may be chosen elsewhere only where the machine's
 * administrator allowed it (tcp_allowed_congestion_control). On loopback, which loses nothing, they are alike.
 */
const SETUP = 'ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control'

/**
 * How to run a command in a network of its own whose TCP does not pace; undefined where such a network may not be made
 * (it takes root).
 */
export function ownNetwork (): string[] | undefined {
  return spawnSync('unshare', ['--net', 'sh', '-c', SETUP]).status === 0
    ? ['unshare', '--net', 'sh', '-c', `${SETUP} && exec "$@"`, 'sh']
    : undefined
}

/**
 * Where the machine's TCP is BBR, runs this command once more in a network of its own, and answers its exit status;
 * else undefined. BBR paces by a timer for each packet on the loopback device, which is dearer than all that sendfile
 * does, and by turns (docs/performance.md); what the machine itself is set to stays.
 */
export async function runWithoutPacing (): Promise<number | undefined> {
  const [command, ...args] = congestionControl() === 'bbr' ? (ownNetwork() ?? []) : []
  if (command === undefined) return undefined
  const child = spawn(command, [...args, process.execPath, ...process.argv.slice(1)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
}
