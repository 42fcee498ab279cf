import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import hashNow, { type PasswordTask } from '../../../src/accounts/password-worker.js'
import { createPasswordHasher, type HashWorkers } from '../../../src/accounts/passwords.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { signUp } from '../../support/client.js'

const password = 'secure_password123'

/** One hash worker, which holds each task until it is released, once `hold` is set. */
class HeldWorkers implements HashWorkers {
  readonly threads = 1
  readonly #held: Array<() => void> = []
  hold = false

  async run (task: PasswordTask): Promise<string | boolean> {
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve))
    return hashNow(task)
  }

  async close (): Promise<void> {
    this.releaseAll()
  }

  /** Tasks held. */
  get running (): number {
    return this.#held.length
  }

  release (): void {
    this.#held.shift()?.()
  }

  releaseAll (): void {
    this.hold = false
    while (this.#held.length > 0) this.release()
  }
}

async function until (what: string, isTrue: () => boolean): Promise<void> {
  for (let turn = 0; !isTrue(); turn++) {
    if (turn === 100_000) throw new Error(`does not happen: ${what}`)
    await nextTurn()
  }
}

t.test('forty addresses of one /48 keep nobody else from logging in (bug: they had the whole queue)', async (t) => {
  const workers = new HeldWorkers()
  const server = await buildTestApp(t, {}, { hashWorkers: workers })
  const [victim, somebody] = [await signUp(server), await signUp(server)]
  const logIn = (email: string, remoteAddress: string, secret = password) =>
    server.inject({ method: 'POST', url: '/auth/login', payload: { email, password: secret }, remoteAddress })
  workers.hold = true
  let refused = 0
  const hammering = Array.from({ length: 40 }, async (_, i) => {
    const reply = await logIn(victim.email, `2001:db8:1:${i.toString(16)}::1`, 'a wrong one')
    if (reply.statusCode === 503) refused++
    return reply
  })
  await until('the queue is full', () => refused === 7 && workers.running === 1)

  let reply: Awaited<ReturnType<typeof logIn>> | undefined
  void logIn(somebody.email, '2001:db9::1').then((given) => { reply = given })
  await until('one of the crowd makes room', () => refused === 8)
  workers.release()
  await until('the next of the crowd runs', () => workers.running === 1)
  workers.release()
  await until('the login from elsewhere runs', () => workers.running === 1)
  workers.release()
  await until('the login from elsewhere is over', () => reply !== undefined)
  t.equal(reply!.statusCode, 200)
  workers.releaseAll()

  const replies = await Promise.all(hammering)
  const statuses = [401, 503].map((status) => replies.filter(({ statusCode }) => statusCode === status).length)
  t.same(statuses, [32, 8])
  expectProblem(t, replies.find(({ statusCode }) => statusCode === 503)!, 503, 'overloaded')
})

t.test('networks take turns at every way to a hash, by provider, site and client', async (t) => {
  const cases: Array<[what: string, crowd: (i: number) => string, elsewhere: string]> = [
    ['another /32', (i) => `2001:db8:${i}::1`, '2001:db9::1'],
    ['another /48 of the same /32', (i) => `2001:db8:1:${i}::1`, '2001:db8:2::1'],
    ['another /64 of the same /48', () => '2001:db8:1:1::1', '2001:db8:1:2::1'],
    ['another /16', (i) => `198.51.${i}.1`, '203.0.113.1'],
    ['another /24 of the same /16', (i) => `198.51.100.${i}`, '198.51.101.1'],
    ['another address of the same /24', () => '198.51.100.1', '198.51.100.2'],
    ['IPv4 in IPv6', (i) => `::ffff:198.51.100.${i}`, '2002:c633:6501::1'],
    ['text that is no address', () => 'unknown', '203.0.113.1']
  ]
  for (const [what, crowd, elsewhere] of cases) {
    const workers = new HeldWorkers()
    const hasher = createPasswordHasher(4, { workers })
    const order: string[] = []
    const queued = async (name: string, address: string) => {
      await hasher.hash(password, address)
      order.push(name)
    }
    workers.hold = true
    const all = Array.from({ length: 10 }, (_, i) => queued('crowd', crowd(i)))
    all.push(queued('elsewhere', elsewhere))
    workers.releaseAll()
    await Promise.all(all)
    t.equal(order.indexOf('elsewhere'), 2, what)
    await hasher.close()
  }
})

t.test('a hasher that closes refuses what waits', async (t) => {
  const workers = new HeldWorkers()
  const hasher = createPasswordHasher(4, { workers })
  workers.hold = true
  const running = hasher.hash(password, '203.0.113.1')
  const waiting = hasher.hash(password, '203.0.113.2')
  await Promise.all([hasher.close(), t.rejects(waiting, { code: 'shutting_down' }), running])
  t.equal(hasher.pending(), 0)
})
