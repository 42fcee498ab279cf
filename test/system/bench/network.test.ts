import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ownNetwork } from '../../../bench/network.js'

const may = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']).status === 0

// The bench once asked for CUBIC, which a network of its own may choose only where the machine allows it: it went on
// with BBR, and said nothing.
t.test(
  'a network of its own has TCP that does not pace, also where the machine allows no more than Reno and its own choice',
  { skip: !may && 'needs root, unshare and iproute2' },
  async (t) => {
    const [command = '', ...args] = ownNetwork() ?? []
    const file = '/proc/sys/net/ipv4/tcp_congestion_control'
    const before = readFileSync(file, 'latin1')
    const { stdout, status } = spawnSync(command, [...args, 'cat', file], { encoding: 'latin1' })
    t.same([status, stdout.trim()], [0, 'reno'])
    t.equal(readFileSync(file, 'latin1'), before, 'the machine keeps its own')
  }
)
