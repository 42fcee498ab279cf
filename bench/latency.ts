import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import bcrypt from 'bcryptjs'
import { BCRYPT_COST } from '../src/accounts/passwords.js'
import { loadConfig } from '../src/config/config.js'
import { openDatabase } from '../src/database/open.js'
import { newToken } from '../test/support/client.js'
import type { Bench, Length, Sample } from './bench.js'
import { get, measureLoad, runLoad, type Job } from './load.js'
import { linkedMedia, startBenchServer, type BenchServer } from './bench-server.js'

const LOGINS = 8
/** At a hundredth of the price: six seconds. */
const WARM_UP_LOGINS = 2000
const LEAST_BCRYPT_COST = 4
const VIEWS_A_SECOND = 200
const SYNC_DELAY_MICROSECONDS = 20_000
const LIGHT_CONNECTIONS = 4
/** The p99 of less than some hundred answers is one unlucky answer. */
const LIGHT_PER_SECOND = 500
const secondsOf = (length: Length) => ({ gate: 3, laptop: 1.5, full: 10 })[length]

/** Requests that should not notice what else is going on: some hundreds a second, evenly. */
const lightGets = (origin: string, id: string, seconds: number): Job => ({
  kind: 'requests',
  origin,
  connections: LIGHT_CONNECTIONS,
  perSecond: LIGHT_PER_SECOND,
  seconds,
  requests: [get(`/media/${id}`)],
  expect: 200
})

/** Runs `work` while a job goes on that ends with it. */
async function during (job: Job, work: () => Promise<Sample>): Promise<Sample> {
  const enough = new AbortController()
  const background = runLoad(job, enough.signal)
  try {
    return await Promise.race([
      work(),
      background.then(() => {
        throw new Error('the load in the background ended too soon')
      })
    ])
  } finally {
    enough.abort()
    await background
  }
}

/**
 * Runs `work` while another process hashes passwords, which takes a core as logins do, and the server nothing to do.
 */
async function besideHashing (work: () => Promise<Sample>): Promise<Sample> {
  const hashing = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import bcrypt from 'bcryptjs'; console.log('hashes'); for (;;) bcrypt.hashSync('a password', ${BCRYPT_COST})`
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  try {
    await once(hashing.stdout, 'data')
    return await work()
  } finally {
    hashing.kill('SIGKILL')
  }
}

/**
 * Signs up an account whose logins go all the way, and cost a hundredth: a password's hash says itself how dear it is.
 */
async function makeCheap ({ origin, env }: BenchServer, email: string): Promise<void> {
  await newToken(origin, email)
  const db = openDatabase(loadConfig(env).database)
  try {
    await db
      .updateTable('accounts')
      .set({ password_hash: await bcrypt.hash('secure_password123', LEAST_BCRYPT_COST) })
      .where('email', '=', email)
      .execute()
  } finally {
    await db.destroy()
  }
}

/** Passwords are hashed in threads: who only looks does not wait for those who log in. */
export const logins: Bench = {
  name: 'logins',
  about:
    '500 light GETs a second: idle, with 8 logins in flight (bcrypt, cost 12), and beside another process that hashes',
  unit: 'request',
  passes: { laptop: 1 },
  rounds: { laptop: 5, full: 9 },
  warmUp: 0,
  rows: [
    {
      what: 'Light GET with 8 logins in flight',
      figure: 'p99',
      subject: '8 logins in flight',
      baseline: 'idle',
      atMost: 2,
      limit: 'another process hashes',
      why: '[any process that takes a core has nearly the same effect](#logins-and-slow-disks)'
    },
    {
      what: 'Light GET with 8 logins in flight',
      figure: 'p99',
      subject: '8 logins in flight',
      baseline: 'another process hashes',
      atMost: 2
    }
  ],
  async open (t, length) {
    const server = await startBenchServer(t)
    const id = await linkedMedia(server)
    const gets = () => measureLoad(server, lightGets(server.origin, id, secondsOf(length)))
    const loginsOf = (email: string, until: { count: number } | { seconds: number }): Job => {
      const body = JSON.stringify({ email, password: 'secure_password123' })
      return {
        kind: 'requests',
        origin: server.origin,
        connections: LOGINS,
        ...until,
        requests: [
          get('/auth/login', { 'content-type': 'application/json', 'content-length': String(body.length) }, 'POST') +
            body
        ],
        expect: 200
      }
    }
    // Before the first logins, V8 has seen only GETs. It then compiles most shared functions again: its threads take a
    // core for milliseconds at a time, until some hundred logins have come.
    await makeCheap(server, 'warm-up@example.org')
    await during(
      {
        kind: 'requests',
        origin: server.origin,
        connections: LIGHT_CONNECTIONS,
        seconds: 600,
        requests: [get(`/media/${id}`)],
        expect: 200
      },
      () => measureLoad(server, loginsOf('warm-up@example.org', { count: WARM_UP_LOGINS }))
    )
    return {
      idle: gets,
      'another process hashes': () => besideHashing(gets),
      '8 logins in flight': () => during(loginsOf('owner@example.org', { seconds: 600 }), gets)
    }
  }
}

/** A disk whose every sync takes 20 ms more: views wait for it, nothing else does. */
export const slowSync: Bench = {
  name: 'slow-sync',
  about:
    '500 light GETs a second while 200 views a second are posted, under strace, with and without 20 ms more for ' +
    'each fsync and fdatasync',
  unit: 'request',
  passes: { laptop: 1 },
  rounds: { laptop: 5, full: 9 },
  warmUp: 0,
  rows: [
    {
      what: 'Light GET while every fsync takes 20 ms more',
      figure: 'p99',
      subject: 'slow fsync',
      baseline: 'traced without a delay',
      atMost: 2
    }
  ],
  async open (t, length) {
    if (spawnSync('strace', ['-V']).status !== 0) throw new Error('needs the strace program: apt-get install strace')
    const trace = ['strace', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync']
    const side = async (...inject: string[]) => {
      const traced = await startBenchServer(t, {}, [...trace, ...inject])
      const pids = readFileSync(`/proc/${traced.pids[0]}/task/${traced.pids[0]}/children`, 'latin1')
        .trim()
        .split(' ')
        .map(Number)
      const server = { ...traced, pids }
      const id = await linkedMedia(server)
      // What V8 should have compiled before the first round, which is quicker than a round of all sides.
      await runLoad({
        kind: 'requests',
        origin: server.origin,
        connections: LIGHT_CONNECTIONS,
        count: 10_000,
        requests: [get(`/media/${id}`)],
        expect: 200
      })
      const views: Job = {
        kind: 'requests',
        origin: server.origin,
        connections: 40,
        perSecond: VIEWS_A_SECOND,
        seconds: 600,
        requests: [get(`/media/${id}/view`, { 'content-length': '0' }, 'POST')],
        expect: 200
      }
      return () => during(views, () => measureLoad(server, lightGets(server.origin, id, secondsOf(length))))
    }
    const [undelayed, delayed] = await Promise.all([
      side(),
      side('-e', `inject=fsync,fdatasync:delay_exit=${SYNC_DELAY_MICROSECONDS}`)
    ])
    return { 'traced without a delay': undelayed, 'slow fsync': delayed }
  }
}
