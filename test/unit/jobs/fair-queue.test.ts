import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { ApiError } from '../../../src/errors.js'
import { FairQueue } from '../../../src/jobs/fair-queue.js'

/**
 * Holds the only slot while tasks queue up; resolves with what ran and what was refused. A task is named by the letters
 * of its path and a number: a1 is of account a, ab1 of account b in group a.
 */
async function orderOf (names: string[], maxWaiting = 100) {
  const queue = new FairQueue({ slots: 1, maxWaiting })
  const release = await queue.acquire('someone before')
  const ran: string[] = []
  const refused: string[] = []
  const all = names.map((name) =>
    queue
      .run([...name.slice(0, -1)], async () => {
        ran.push(name)
      })
      .catch((error: unknown) => {
        if (!(error instanceof ApiError) || error.code !== 'overloaded') throw error
        refused.push(name)
      })
  )
  release()
  release()
  await Promise.all(all)
  return { ran: ran.join(' '), refused: refused.join(' '), pending: queue.pending }
}

const cases: Array<[what: string, queued: string, ran: string, refused: string, maxWaiting?: number]> = [
  ['one account runs in order', 'a1 a2 a3', 'a1 a2 a3', ''],
  ['an account that comes last has the second turn', 'a1 a2 a3 a4 b1', 'a1 b1 a2 a3 a4', ''],
  ['three accounts take turns', 'a1 a2 a3 b1 b2 c1', 'a1 b1 c1 a2 b2 a3', ''],
  ['a full queue refuses the account that filled it', 'a1 a2 a3 a4', 'a1 a2 a3', 'a4', 3],
  ['a full queue takes a newcomer in place of the newest of the longest', 'a1 a2 a3 b1', 'a1 b1 a2', 'a3', 3],
  ['of equally long ones the newcomer is refused', 'a1 b1 c1', 'a1 b1', 'c1', 2],
  ['a group with many accounts has one turn', 'ax1 ay1 az1 bx1', 'ax1 bx1 ay1 az1', ''],
  ['accounts take turns within the turns of their group', 'ax1 ax2 ay1 bx1 bx2', 'ax1 bx1 ay1 bx2 ax2', ''],
  ['a full queue takes a newcomer in place of one of a full group', 'ax1 ay1 az1 bx1', 'ax1 bx1 ay1', 'az1', 3],
  ['within a group the account that filled it is refused', 'ax1 ax2 ay1 bx1', 'ax1 bx1 ay1', 'ax2', 3]
]

for (const [what, queued, ran, refused, maxWaiting] of cases) {
  t.test(what, async (t) => t.same(await orderOf(queued.split(' '), maxWaiting), { ran, refused, pending: 0 }))
}

t.test('no more tasks run at once than there are slots, whatever they throw', async (t) => {
  const queue = new FairQueue({ slots: 2, maxWaiting: 100 })
  let [running, most] = [0, 0]
  const task = async (fails: boolean) => {
    most = Math.max(most, ++running)
    await nextTurn()
    running--
    if (fails) throw new Error('failed')
  }
  const run = (i: number) => queue.run(`account ${i % 3}`, () => task(i % 2 === 0))
  const all = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => run(i)))
  t.equal(all.filter(({ status }) => status === 'rejected').length, 10)
  t.same([most, queue.pending], [2, 0])
})

t.test('a task that waits is aborted by its signal, and one that runs is not', async (t) => {
  const queue = new FairQueue({ slots: 1, maxWaiting: 10 })
  const abort = new AbortController()
  const release = await queue.acquire('a', abort.signal)
  const waiting = queue.acquire('b', abort.signal)
  abort.abort(new Error('too late'))
  await t.rejects(waiting, { message: 'too late' })
  await t.rejects(queue.acquire('b', abort.signal), { message: 'too late' })
  t.equal(queue.pending, 1)
  release()
  t.equal(await queue.run('b', async () => 'ran'), 'ran')
})

t.test('a closed queue refuses all that waits and comes', async (t) => {
  const queue = new FairQueue({ slots: 1, maxWaiting: 10 })
  const release = await queue.acquire('a')
  const waiting = queue.acquire('b')
  queue.close(new ApiError('shutting_down'))
  await t.rejects(waiting, { code: 'shutting_down' })
  await t.rejects(queue.acquire('a'), { code: 'shutting_down' })
  release()
  t.equal(queue.pending, 0)
})
