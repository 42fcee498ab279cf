import t from 'tap'
import { createPasswordHasher } from '../../../src/accounts/passwords.js'

const address = '203.0.113.7'

t.test(
  'passwords are checked in the order in which they came (bug: while more kept coming, the first of a queue waited ' +
    'forever)',
  async (t) => {
    const hasher = createPasswordHasher(4)
    t.teardown(() => hasher.close())
    const hash = await hasher.hash('a password', address)
    const lanes = 8
    let [asked, answered, overtaken] = [0, 0, 0]
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        while (asked < 400) {
          const mine = asked++
          t.ok(await hasher.matches('a password', hash, address))
          overtaken = Math.max(overtaken, answered++ - mine)
        }
      })
    )
    t.ok(overtaken < 2 * lanes, `at most ${overtaken} who came later were answered first`)
  }
)
