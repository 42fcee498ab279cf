import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The machine's TCP: `cubic` is Linux's own choice. */
export const congestionControl = (): string => readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'latin1').trim()

const SETUP = 'ip link set lo up && echo cubic > /proc/sys/net/ipv4/tcp_congestion_control'

/**
 * Runs this command once more in a network of its own whose TCP is CUBIC, and answers its exit status; undefined where it is already, or where no such network may be made
 * (it takes root). BBR paces by a timer for each packet on the loopback device, which is dearer than all that sendfile does, and by turns (docs/performance.md); what
 * the machine itself is set to stays.
 */
export async function runWithCubic (): Promise<number | undefined> {
  if (congestionControl() === 'cubic' || spawnSync('unshare', ['--net', 'sh', '-c', SETUP]).status !== 0) return undefined
  const child = spawn('unshare', ['--net', 'sh', '-c', `${SETUP} && exec "$@"`, 'sh', process.execPath, ...process.argv.slice(1)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
}
