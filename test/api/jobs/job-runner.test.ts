import type { Kysely } from 'kysely'
import { once } from 'node:events'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { migrations } from '../../../migrations/index.js'
import { loadConfig } from '../../../src/config/config.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import type { Database } from '../../../src/database/tables.js'
import { JobRunner, type JobRun, type JobRunnerOptions } from '../../../src/jobs/job-runner.js'
import type { Job } from '../../../src/jobs/job.js'
import { claimJob, insertRemoval } from '../../../src/jobs/job-store.js'
import { SECOND } from '../../../src/time.js'
import { testEnvironment } from '../../support/test-app.js'
import { eventually } from '../../support/server-process.js'
import { clockOf } from '../../support/clock.js'

const LEASE_MS = 30 * SECOND

interface Queue {
  db: Kysely<Database>
  clock: { now: number }
  /** What `onError` was told: the message and the job's name. */
  errors: string[]
  add(name: string): Promise<void>
  rows(): Promise<Array<{ name: string; runAfter: number; failures: number; attempts: number }>>
  runner(options: Partial<JobRunnerOptions<'mux-removal'>> & Pick<JobRunnerOptions<'mux-removal'>, 'work'>): Runner
  /** Claims a job as a process does that dies then. */
  abandon(): Promise<void>
}
type Runner = JobRunner<'mux-removal'>

const nameOf = (job: Job<'mux-removal'>) => job.removal.assetId!

/** An empty queue with a clock that stands still; its jobs are deletions at Mux, which need no media. */
async function openQueue (t: Test): Promise<Queue> {
  const { env } = await testEnvironment(t)
  const db = openDatabase(loadConfig(env).database)
  await migrate(db, migrations)
  const clock = { now: 1000 }
  const errors: string[] = []
  const runners: Runner[] = []
  t.teardown(async () => {
    await Promise.all(runners.map((runner) => runner.stop()))
    await db.destroy()
  })
  return {
    db,
    clock,
    errors,
    add: (name) => db.transaction().execute((trx) => insertRemoval(trx, { uploadId: null, assetId: name }, clock.now)),
    async rows () {
      const rows = await db.selectFrom('jobs').selectAll().orderBy('id').execute()
      return rows.map(({ removal, run_after: runAfter, failures, attempts }) => ({
        name: (JSON.parse(removal!) as { assetId: string }).assetId,
        runAfter: Number(runAfter),
        failures,
        attempts
      }))
    },
    runner (options) {
      const runner = new JobRunner({
        db,
        clock: clockOf(() => clock.now),
        kinds: ['mux-removal'],
        retryDelayMs: () => undefined,
        onError: (error, job) => errors.push(`${(error as Error).message}: ${job === undefined ? '' : nameOf(job)}`),
        ...options
      })
      runners.push(runner)
      return runner
    },
    async abandon () {
      await claimJob(db, ['mux-removal'], clock.now, LEASE_MS)
    }
  }
}

async function runDueJobs (runner: Runner): Promise<void> {
  runner.wake()
  await runner.idle()
}

/** Work that goes on until its signal aborts; `begun` resolves with what it was given. */
function endlessWork () {
  let begin: (run: JobRun) => void
  const begun = new Promise<JobRun>((resolve) => {
    begin = resolve
  })
  const work = async (_job: Job, run: JobRun) => {
    begin(run)
    await once(run.signal, 'abort')
    throw new Error('interrupted')
  }
  return { begun, work }
}

t.test('due jobs run in their order, and a job that is done is deleted', async (t) => {
  const queue = await openQueue(t)
  for (const name of ['a', 'b', 'c']) {
    await queue.add(name)
    queue.clock.now++
  }
  const done: string[] = []
  const runner = queue.runner({
    async work (job) {
      done.push(nameOf(job))
      return 'done'
    }
  })
  await runDueJobs(runner)
  t.same(done, ['a', 'b', 'c'])
  t.same(await queue.rows(), [])
  t.same(queue.errors, [])
})

t.test('a failed job is logged once, runs again after its backoff, and is given up at the end', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  let runs = 0
  const givenUp: string[] = []
  const runner = queue.runner({
    async work () {
      throw new Error(`failure ${++runs}`)
    },
    retryDelayMs: ({ failures }) => [5000, 30_000][failures - 1],
    async giveUp (job, error) {
      t.equal((await queue.rows()).length, 1, 'the row is deleted after that')
      givenUp.push(`${(error as Error).message}: ${nameOf(job)}`)
    }
  })
  await runDueJobs(runner)
  t.same(await queue.rows(), [{ name: 'a', runAfter: 6000, failures: 1, attempts: 0 }])

  queue.clock.now = 5999
  await runDueJobs(runner)
  t.equal(runs, 1, 'it is not due before')

  queue.clock.now = 6000
  await runDueJobs(runner)
  t.same(await queue.rows(), [{ name: 'a', runAfter: 36_000, failures: 2, attempts: 0 }])

  queue.clock.now = 36_000
  await runDueJobs(runner)
  t.same(await queue.rows(), [])
  t.same(givenUp, ['failure 3: a'])
  t.same(queue.errors, ['failure 1: a', 'failure 2: a', 'failure 3: a'])
})

t.test('progress begins the count of failures again', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  let progress = false
  const runner = queue.runner({
    async work (_job, { onProgress }) {
      if (progress) onProgress()
      throw new Error('failed')
    },
    retryDelayMs: () => 1000
  })
  const failuresAfterRun = async () => {
    await runDueJobs(runner)
    queue.clock.now += 1000
    return (await queue.rows())[0]!.failures
  }
  t.equal(await failuresAfterRun(), 1)
  t.equal(await failuresAfterRun(), 2)
  progress = true
  t.equal(await failuresAfterRun(), 1)
})

t.test('a postponed job is no failure, and runs again when its time comes', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  await queue.db.updateTable('jobs').set({ failures: 3 }).execute()
  let ready = false
  const runner = queue.runner({ work: async () => (ready ? 'done' : { postponeMs: 700 }) })
  await runDueJobs(runner)
  t.same(await queue.rows(), [{ name: 'a', runAfter: 1700, failures: 0, attempts: 0 }])
  ready = true
  queue.clock.now = 1700
  await runDueJobs(runner)
  t.same(await queue.rows(), [])
  t.same(queue.errors, [])
})

t.test('a stop interrupts the running job: it is due at once, without a failure or an attempt', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  queue.clock.now++
  await queue.add('b')
  const { begun, work } = endlessWork()
  const runner = queue.runner({ work })
  runner.wake()
  await begun
  t.match(await queue.rows(), [{ runAfter: queue.clock.now + LEASE_MS, attempts: 1 }, { attempts: 0 }])
  await runner.stop()
  t.same(await queue.rows(), [
    { name: 'a', runAfter: 1001, failures: 0, attempts: 0 },
    { name: 'b', runAfter: 1001, failures: 0, attempts: 0 }
  ])
  t.same(queue.errors, [])
  await runDueJobs(runner)
  t.equal((await queue.rows()).length, 2, 'a stopped runner claims nothing')
})

t.test('the job of a process that died runs again when its lease ends', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  await queue.abandon()
  const runner = queue.runner({ work: async () => 'done' })
  await runner.start(false)
  queue.clock.now += LEASE_MS - 1
  await runDueJobs(runner)
  t.match(await queue.rows(), [{ attempts: 1 }])
  queue.clock.now++
  await runDueJobs(runner)
  t.same(await queue.rows(), [])
})

t.test('the only instance runs such a job at its start, unless that job ended too many processes', async (t) => {
  const queue = await openQueue(t)
  await queue.add('often')
  for (let crash = 0; crash < 4; crash++) {
    await queue.abandon()
    queue.clock.now += LEASE_MS
  }
  await queue.abandon()
  await queue.add('once')
  await queue.abandon()
  const done: string[] = []
  const runner = queue.runner({
    maxEagerAttempts: 3,
    async work (job) {
      done.push(nameOf(job))
      return 'done'
    }
  })
  await runner.start(true)
  await runner.idle()
  t.same(done, ['once'])
  queue.clock.now += LEASE_MS
  await runDueJobs(runner)
  t.same(done, ['once', 'often'])
})

t.test('a job that ended its process too often is given up without another run', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  for (let crash = 0; crash < 2; crash++) {
    await queue.abandon()
    queue.clock.now += LEASE_MS
  }
  let runs = 0
  const givenUp: string[] = []
  const runner = queue.runner({
    maxAttempts: 2,
    async work () {
      runs++
      return 'done'
    },
    retryDelayMs: () => 0,
    giveUp: async (job) => {
      givenUp.push(nameOf(job))
    }
  })
  await runDueJobs(runner)
  t.equal(runs, 0)
  t.same(givenUp, ['a'])
  t.same(queue.errors, ['the job ended its process 2 times: a'])
  t.same(await queue.rows(), [])
})

t.test('a lease is renewed while its job runs; a job that is replaced meanwhile is interrupted silently', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const queue = await openQueue(t)
  await queue.add('a')
  const { begun, work } = endlessWork()
  const runner = queue.runner({ work })
  runner.wake()
  const { signal } = await begun

  queue.clock.now += 10 * SECOND
  mock.timers.tick(10 * SECOND)
  await eventually('the lease is renewed', async () => (await queue.rows())[0]!.runAfter === queue.clock.now + LEASE_MS)
  t.equal(signal.aborted, false)

  const id = '00000000-0000-7000-8000-000000000000'
  await queue.db.updateTable('jobs').set({ id, run_after: 9e5 }).execute()
  mock.timers.tick(10 * SECOND)
  await runner.idle()
  t.equal(signal.aborted, true)
  t.same(await queue.rows(), [{ name: 'a', runAfter: 9e5, failures: 0, attempts: 1 }], 'the new job is as it was')
  t.same(queue.errors, [])
})

t.test('at most as many jobs run at once as the runner may run', async (t) => {
  const queue = await openQueue(t)
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    await queue.add(name)
    queue.clock.now++
  }
  const running = new Set<string>()
  let most = 0
  const waiting: Array<() => void> = []
  const runner = queue.runner({
    concurrency: 2,
    async work (job) {
      running.add(nameOf(job))
      most = Math.max(most, running.size)
      // Until a second one runs, or there is no second one left.
      if (running.size === 2 || nameOf(job) === 'e') for (const go of waiting.splice(0)) go()
      else await new Promise<void>((resolve) => waiting.push(resolve))
      running.delete(nameOf(job))
      return 'done'
    }
  })
  await runDueJobs(runner)
  t.equal(most, 2)
  t.same(await queue.rows(), [])
})

t.test('a queue that cannot be read is logged, and the next look finds its jobs', async (t) => {
  const queue = await openQueue(t)
  await queue.add('a')
  let broken = true
  const runner = queue.runner({
    clock: clockOf(() => {
      if (broken) throw new Error('no queue')
      return queue.clock.now
    }),
    work: async () => 'done'
  })
  await runDueJobs(runner)
  t.same(queue.errors, ['no queue: '])
  broken = false
  await runDueJobs(runner)
  t.same(await queue.rows(), [])
})
