import t from 'tap'
import { isInAddressList } from '../../../src/http/address-list.js'

t.test('an address is found in a list of addresses and networks', async (t) => {
  const table: Array<[address: string, list: string[], found: boolean]> = [
    ['192.0.2.7', ['192.0.2.0/24'], true],
    ['192.0.3.7', ['192.0.2.0/24'], false],
    ['192.0.2.7', ['192.0.2.7'], true],
    ['192.0.2.8', ['192.0.2.7'], false],
    ['192.0.2.7', ['192.0.2.7/32'], true],
    ['192.0.2.7', ['0.0.0.0/0'], true],
    ['2001:db8::1', ['0.0.0.0/0'], false],
    ['192.0.2.7', ['::/0'], false],
    ['2001:db8::1', ['2001:db8::/32'], true],
    ['2001:db9::1', ['2001:db8::/32'], false],
    ['2001:DB8:0::1', ['2001:db8::1'], true],
    ['::ffff:192.0.2.7', ['192.0.2.0/24'], true],
    ['192.0.2.7', ['::ffff:192.0.2.0/120'], true],
    ['192.0.3.7', ['::ffff:192.0.2.0/120'], false],
    ['192.0.2.7', ['198.51.100.0/24', '192.0.2.0/30', '192.0.2.4/30'], true],
    ['fe80::1%eth0', ['fe80::/10'], true],
    ['192.0.2.7', [], false],
    ['', ['0.0.0.0/0'], false],
    ['unix:', ['0.0.0.0/0', '::/0'], false]
  ]
  for (const [address, list, found] of table) {
    t.equal(isInAddressList(address, list), found, `${address} in ${list.join(' ')}`)
  }
})
