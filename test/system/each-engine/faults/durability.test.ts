import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, startServer } from '../../../support/server-process.js'
import { fixture } from '../../../support/fixtures.js'
import { newToken } from '../../../support/client.js'
import { noStrace, strace, straceModule, type SystemCall } from '../../../support/strace.js'
import { rowsOf, startVictim, uploadForm, wav, type Victim } from '../../../support/workload.js'

const ROUNDS = process.env.TEST_LONG ? 5 : 1
const MiB = 1024 * 1024
/** Which of them there are differs by processor. */
const RENAME = '?rename,?renameat,?renameat2'
const CHMOD = '?chmod,?fchmodat'

/** What makes a commit durable, seen from the server: the log's fsync, or the word that asks Postgres for one. */
const commitCall =
  engine === 'sqlite' ? /^(fsync|fdatasync)\(.*-wal>/ : /^(write|writev|sendto|sendmsg)\(.*"(Q\\0\\0\\0\\v)?commit/
const answerCall = (status: number) => new RegExp(`^(write|writev|sendto|sendmsg)\\(.*HTTP/1\\.1 ${status}`)

/**
 * Holds that each of these calls ended before the next began, and that nothing more was written to the draft or the log
 * after it was synced.
 */
function expectOrder (t: Test, calls: SystemCall[], wanted: Array<[name: string, pattern: RegExp]>): void {
  const found = wanted.map(([name, pattern]) => ({ name, call: calls.filter(({ text }) => pattern.test(text)).at(-1) }))
  t.same(
    found.filter(({ call }) => call === undefined).map(({ name }) => name),
    [],
    'each of the calls was made'
  )
  for (const [index, { name, call }] of found.entries()) {
    const next = found[index + 1]
    if (next?.call === undefined || call === undefined) continue
    t.ok(
      call.to < next.call.from,
      `${name} is done before ${next.name}: ${call.text.slice(0, 90)} | ${next.call.text.slice(0, 90)}`
    )
    t.match(call.text, /= \d/, `${name} succeeded`)
  }
}

t.test(
  'an upload is written, synced, renamed, its folder synced, its row committed and its file marked, one after the ' +
    'other, before its 201',
  { skip: noStrace },
  async (t) => {
    const { env } = await testEnvironment(t)
    const server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    await uploadForm(server.origin, token, await fixture('tiny.mp4'))
    const trace = await strace(t, server.child.pid!, { calls: `desc,${RENAME},${CHMOD}` })
    const { status } = await uploadForm(server.origin, token, wav(3 * MiB))
    const calls = await trace.end()
    t.equal(status, 201)
    expectOrder(t, calls, [
      ['the last write', /^(write|writev|pwrite64|pwritev)\(\d+<[^>]*uploads\/tmp\//],
      ["the file's fsync", /^fsync\(.*uploads\/tmp\//],
      ['the rename', /^rename\w*\(.*uploads\/tmp\/.*uploads\/blobs\//],
      ["the folder's fsync", /^fsync\(.*uploads\/blobs>/],
      ...(engine === 'sqlite' ? [['the last write to the log', /^pwrite64\(.*-wal>/] satisfies [string, RegExp]] : []),
      ['the commit', commitCall],
      ['the mark', /^(chmod|fchmodat)\(.*uploads\/blobs\/[^,]*, 0?440/],
      ['the answer', answerCall(201)]
    ])
  }
)

// Bug: neither the folders of a first start nor the name of its secret were synced: a power cut could have taken them,
// with what had been acknowledged since.
t.test(
  'what a first start makes is durable: its folders, its secret and the id of its store',
  { skip: noStrace },
  async (t) => {
    const { env } = await testEnvironment(t)
    const calls = await straceModule(
      t,
      `
    import { loadSecrets } from './dist/src/secrets/keyring.js'
    import { openDiskStore } from './dist/src/storage/disk-store.js'
    loadSecrets({ dataDir: ${JSON.stringify(env.DATA_DIR)}, secretKeysPrevious: [] })
    await (await openDiskStore(${JSON.stringify(env.UPLOAD_DIR)})).identity('an id')
  `,
      '?mkdir,?mkdirat,?link,?linkat,openat,fsync'
    )
    const made = [
      ['mkdir', 'data', '..'],
      ['mkdir', 'uploads', '..'],
      ['mkdir', 'uploads/tmp', '..'],
      ['mkdir', 'uploads/blobs', '..'],
      ['link', 'data/secret.key', '..'],
      ['openat', 'uploads/.store-id', '.'],
      ['openat', 'uploads/.store-id', '..']
    ] as const
    for (const [name, path, synced] of made) {
      const whole = join(env.DATA_DIR!, '..', path)
      const before = calls.find(({ text }) => text.startsWith(name) && text.includes(`"${whole}"`))
      const after = calls.findLast(
        ({ text }) => text.startsWith('fsync') && text.includes(`<${join(whole, synced)}>`) && text.includes('= 0')
      )
      t.ok(
        before !== undefined && after !== undefined && before.to < after.from,
        `${name} ${path}: ${synced} is synced after it`
      )
    }
  }
)

t.test('a view is committed before its 200', { skip: noStrace }, async (t) => {
  const { env } = await testEnvironment(t)
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  const {
    body: { id }
  } = await uploadForm(server.origin, token, await fixture('tiny.mp4'))
  await call(server.origin, `/media/${id as string}/view`, { method: 'POST', token })
  const trace = await strace(t, server.child.pid!, { calls: 'desc' })
  const { status } = await call(server.origin, `/media/${id as string}/view`, { method: 'POST', token })
  const calls = await trace.end()
  t.equal(status, 200)
  expectOrder(t, calls, [
    ...(engine === 'sqlite' ? [['the last write to the log', /^pwrite64\(.*-wal>/] satisfies [string, RegExp]] : []),
    ['the commit', commitCall],
    ['the answer', answerCall(200)]
  ])
})

/**
 * A moment of an upload at which the server dies. `arm` is called while the draft is half on disk. `kept`: whether the
 * media is there afterwards, where that is certain; nobody was told of it.
 */
interface Step {
  name: string
  kept?: boolean
  arm(t: Test, victim: Victim, draft: string): Promise<void>
}

const killAt = (
  name: string,
  kept: boolean | undefined,
  what: (victim: Victim, draft: string) => Parameters<typeof strace>[2]
): Step => ({
  name,
  kept,
  arm: async (t, victim, draft) => {
    await strace(t, victim.server.child.pid!, { ...what(victim, draft), inject: 'signal=KILL:when=1' })
  }
})
const walOf = ({ env }: Victim) => join(env.DATA_DIR!, 'playgate.db-wal')

const fileSteps = [
  killAt('before the last write', false, (_victim, draft) => ({ calls: 'write,writev,pwrite64,pwritev', path: draft })),
  killAt("before the file's fsync", false, (_victim, draft) => ({ calls: 'fsync', path: draft })),
  killAt('before the rename', false, (_victim, draft) => ({ calls: RENAME, path: draft })),
  killAt("before the folder's fsync", false, ({ env }) => ({ calls: 'fsync', path: join(env.UPLOAD_DIR!, 'blobs') }))
]
const markStep = killAt('after the commit, before the mark', true, () => ({ calls: CHMOD }))
const sqliteSteps = [
  killAt('before the row is written to the log', false, (victim) => ({ calls: 'pwrite64', path: walOf(victim) })),
  killAt("before the log's fsync", undefined, (victim) => ({ calls: 'fsync,fdatasync', path: walOf(victim) })),
  killAt('after the commit, before the answer', true, () => ({ calls: 'writev', mainThread: true }))
]

/**
 * A way to a Postgres on which the COMMIT of the next media can be awaited: `sent`, before it is passed on; `passed`,
 * right after; `done`, when its answer comes, which is held back.
 */
async function startPostgresPassage (
  t: Test,
  target: string
): Promise<{ url: string; watch(moment: 'sent' | 'passed' | 'done', then: () => void): void }> {
  let watched: { moment: string; then: () => void } | undefined
  const reached = (moment: string): boolean => {
    if (watched?.moment !== moment) return false
    watched.then()
    watched = undefined
    return true
  }
  const url = new URL(target)
  const passage = createServer((client) => {
    const server = connect(Number(url.port || 5432), url.hostname)
    for (const [one, other] of [
      [client, server],
      [server, client]
    ] as const) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
    // Others commit too: the runner of jobs looks for some now and then.
    let ofMedia = false
    client.on('data', (chunk) => {
      if (chunk.includes('begin\0')) ofMedia = false
      if (chunk.includes('insert into "media"')) ofMedia = true
      const commits = ofMedia && chunk.includes('commit\0')
      if (commits && reached('sent')) return
      server.write(chunk)
      if (commits) reached('passed')
    })
    server.on('data', (chunk) => {
      if (!(ofMedia && chunk.includes('COMMIT\0') && reached('done'))) client.write(chunk)
    })
  })
  passage.listen(0, '127.0.0.1')
  await once(passage, 'listening')
  t.teardown(() => passage.close())
  const here = new URL(target)
  here.host = `127.0.0.1:${(passage.address() as AddressInfo).port}`
  return {
    url: here.href,
    watch: (moment, then) => {
      watched = { moment, then }
    }
  }
}

t.test(
  'SIGKILL at each step of an upload: no row without its file, no file without its row after the sweep, and nothing ' +
    'acknowledged is lost',
  { skip: noStrace, timeout: 1_800_000 },
  async (t) => {
    const victim = await startVictim(t)
    const passage = engine === 'postgres' ? await startPostgresPassage(t, victim.env.DATABASE_URL!) : undefined
    const settings = passage && { DATABASE_URL: passage.url }
    const killAtCommit = (name: string, kept: boolean | undefined, moment: 'sent' | 'passed' | 'done'): Step => ({
      name,
      kept,
      arm: async (_t, { server }) => {
        passage!.watch(moment, () => server.child.kill('SIGKILL'))
      }
    })
    const postgresSteps = [
      killAtCommit('before the COMMIT is sent', false, 'sent'),
      killAtCommit('after the COMMIT is sent', undefined, 'passed'),
      killAtCommit('after the commit, before the answer', true, 'done')
    ]
    const commitSteps = engine === 'sqlite' ? sqliteSteps : postgresSteps
    await victim.restart(settings)
    const countRows = async () => (await rowsOf(victim.env, 'select id from media')).length
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, kept, arm } of [...fileSteps, ...commitSteps, markStep]) {
        await victim.upload(await fixture('tiny.mp4'))
        await victim.view()
        const before = await countRows()
        t.equal(await victim.uploadHeld((draft) => arm(t, victim, draft)), false, `${name}: it is not acknowledged`)
        t.equal(await victim.server.end('SIGCONT'), 'SIGKILL', `${name}: the server was killed`)
        await victim.restart(settings)
        if (kept !== undefined) {
          t.equal((await countRows()) - before, Number(kept), `${name}: the media is ${kept ? '' : 'not '}there`)
        }
        await victim.check(t, name)
      }
    }
    t.same(victim.odd, [])
  }
)
