import t from 'tap'
import { createPasswordHasher, startHashWorkers } from '../../../src/accounts/passwords.js'
import { eventually } from '../../support/server-process.js'
import { Threads } from '../../support/threads.js'

const address = '203.0.113.7'
const overloaded = { code: 'overloaded', options: { headers: { 'retry-after': '5' } } }
/** Of such a cost that a comparison takes days. */
const endlessHash = `$2b$30$${'a'.repeat(53)}`

/** On a busy machine, a new thread may need longer than the limit of a task. The next task then has a thread. */
async function hashInTime (hasher: ReturnType<typeof createPasswordHasher>): Promise<string> {
  let hash = ''
  await eventually('a thread hashes within its limit', async () => {
    hash = await hasher.hash('a password', address).catch(() => '')
    return hash !== ''
  })
  return hash
}

t.test('a hash thread that ends while it starts fails its task (bug: the task waited forever)', async (t) => {
  const threads = new Threads(t)
  const hasher = createPasswordHasher(4, { workers: startHashWorkers({ limitMs: 3000 }) })
  t.teardown(() => hasher.close())
  threads.endNext()
  await t.rejects(hasher.hash('a password', address), overloaded)
  t.equal(threads.ended, 1)
  t.match(await hashInTime(hasher), /^\$2b\$04\$/, 'the next task gets a new thread')
  t.equal(hasher.pending(), 0)
})

t.test('a hash thread that ends within its task, or after it, fails no other task', async (t) => {
  const threads = new Threads(t)
  const hasher = createPasswordHasher(4)
  t.teardown(() => hasher.close())
  const hash = await hasher.hash('a password', address)
  const endless = hasher.matches('a password', endlessHash, address)
  await eventually('it runs', () => hasher.pending() === 1)
  await Promise.all([threads.endAll(), t.rejects(endless, overloaded)])
  t.ok(await hasher.matches('a password', hash, address), 'within')
  await threads.endAll()
  t.ok(await hasher.matches('a password', hash, address), 'after')
})

t.test('a hash thread that fails to load fails its task (bug: the process ended)', async (t) => {
  const filename = new URL('missing.js', import.meta.url).href
  const hasher = createPasswordHasher(4, { workers: startHashWorkers({ filename, limitMs: 1000 }) })
  t.teardown(() => hasher.close())
  await t.rejects(hasher.hash('a password', address), overloaded)
  await t.rejects(hasher.hash('a password', address), overloaded)
  t.equal(hasher.pending(), 0)
})

t.test('a hash that never ends is cut at its limit, with its thread', async (t) => {
  const threads = new Threads(t)
  const hasher = createPasswordHasher(4, { workers: startHashWorkers({ limitMs: 3000 }) })
  t.teardown(() => hasher.close())
  await t.rejects(hasher.matches('a password', endlessHash, address), overloaded)
  await eventually('its thread is gone', () => threads.running === 0)
  t.match(await hashInTime(hasher), /^\$2b\$04\$/)
})
