import { spawnSync } from 'node:child_process'
import { openAsBlob } from 'node:fs'
import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { openDatabase } from '../../../../src/database/open.js'
import { claimJob } from '../../../../src/jobs/job-store.js'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, startServer, type ServerProcess } from '../../../support/server-process.js'
import { callerOf, newToken, overHttp, succeeded, upload } from '../../../support/client.js'
import { decodingErrors, h264, make, noFfmpeg, picture, temporaryFolder, tone } from '../../../support/ffmpeg.js'

const LONG = Boolean(process.env.TEST_LONG)
/**
 * A dead process' job is free again when its lease of 30 s ends; the only process of a server frees it at its start.
 */
const READY_MS = engine === 'postgres' ? 60_000 : 30_000

async function uploadProtected ({ origin }: ServerProcess, token: string, content: Buffer): Promise<string> {
  const reply = await upload(overHttp(origin), callerOf(token), content, { protection: 'encrypted' })
  return succeeded(reply).json<{ id: string }>().id
}

async function becomesReady ({ origin, output }: ServerProcess, token: string, id: string): Promise<void> {
  for (const end = Date.now() + READY_MS; ;) {
    const { body } = await call(origin, `/media/${id}`, { token })
    if (body.status === 'ready') return
    if (body.status === 'failed' || Date.now() > end) throw new Error(`${JSON.stringify(body)}\n${output()}`)
    await sleep(100)
  }
}

/** A film that takes some hundred milliseconds a minute to package; a short clip, again and again. */
async function film (t: Test, seconds: number, bitRate: string): Promise<string> {
  const folder = await temporaryFolder(t)
  const clip = await make(
    join(folder, 'clip.mp4'),
    ...picture(10, '320x180'),
    ...tone(10),
    ...h264,
    '-g',
    '25',
    '-b:v',
    bitRate,
    '-minrate',
    bitRate,
    '-maxrate',
    bitRate,
    '-bufsize',
    bitRate,
    '-x264-params',
    'nal-hrd=cbr'
  )
  return await make(
    join(folder, 'film.mp4'),
    '-stream_loop',
    String(Math.ceil(seconds / 10) - 1),
    '-i',
    clip,
    '-c',
    'copy'
  )
}

t.test(
  'SIGKILL while packaging, at random moments: every media becomes ready and decodes, and no file is left over',
  { skip: noFfmpeg, timeout: 900_000 },
  async (t) => {
    const { env, folder } = await testEnvironment(t, { LOG_LEVEL: 'warn' })
    const content = await readFile(await film(t, 60, '6M'))
    const drafts = async () => await readdir(join(folder, 'uploads/tmp'))
    // On Postgres two processes share the work, and either is killed.
    const servers = [await startServer(t, env)]
    if (engine === 'postgres') servers.push(await startServer(t, env))
    const token = await newToken(servers[0]!.origin, 'owner@example.org')
    const ids: string[] = []
    let during = 0
    for (let kill = 0; kill < (LONG ? 20 : 2); kill++) {
      const victim = Math.floor(Math.random() * servers.length)
      const before = (await drafts()).length
      ids.push(await uploadProtected(servers[victim]!, token, content))
      for (let tries = 0; tries < 100 && (await drafts()).length <= before; tries++) await sleep(20)
      await sleep(Math.random() * 400)
      if ((await drafts()).length > 0) during++
      t.equal(await servers[victim]!.end('SIGKILL'), 'SIGKILL')
      servers[victim] = await startServer(t, env)
    }
    if (LONG) t.ok(during > 0)
    for (const id of ids) await becomesReady(servers[0]!, token, id)
    for (const id of ids) {
      const { body } = await call(servers[0]!.origin, `/media/${id}/stream-url`, { token })
      t.equal(await decodingErrors(body.stream_url as string), '', id)
    }
    await Promise.all(servers.map((server) => server.end('SIGTERM')))
    // What a running process leaves to its next look, a quarter of an hour later.
    const sweeper = spawnSync(process.execPath, ['dist/src/cli.js', 'sweep', '--no-server-runs'], {
      env: { ...process.env, ...env },
      encoding: 'utf8'
    })
    t.equal(sweeper.status, 0, sweeper.stderr)
    t.same([await drafts(), (await readdir(join(folder, 'uploads/blobs'))).length], [[], 2 * ids.length])
    t.comment(
      `figure: ${during} of ${ids.length} kills came while a package was written; all are ready, decoded, and ` +
        'nothing is left over'
    )
  }
)

t.test(
  'a file whose packaging is cut off again and again comes to its end all the same',
  { skip: noFfmpeg, timeout: 900_000 },
  async (t) => {
    const { env, folder } = await testEnvironment(t, { LOG_LEVEL: 'warn' })
    const content = await readFile(await film(t, 60, '24M'))
    let server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    const id = await uploadProtected(server, token, content)
    for (let kill = 0; kill < 3; kill++) {
      for (
        let tries = 0;
        tries < 2000 &&
        (await readdir(join(folder, 'uploads/tmp'))).length <= kill &&
        (await call(server.origin, `/media/${id}`, { token })).body.status === 'processing';
        tries++
      ) {
        await sleep(20)
      }
      await server.end('SIGKILL')
      server = await startServer(t, env)
    }
    await becomesReady(server, token, id)
  }
)

// Bug: a stop cancelled the job, which was due again at once, and taken again: the stop waited for all that was queued.
t.test(
  'SIGTERM ends packaging at once, and the next start takes it up',
  { skip: noFfmpeg, timeout: 240_000 },
  async (t) => {
    const { env, folder } = await testEnvironment(t, { LOG_LEVEL: 'warn' })
    const content = await readFile(await film(t, 60, '24M'))
    let server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    const ids = [
      await uploadProtected(server, token, content),
      await uploadProtected(server, token, content),
      await uploadProtected(server, token, content)
    ]
    for (let tries = 0; tries < 200 && (await readdir(join(folder, 'uploads/tmp'))).length === 0; tries++) {
      await sleep(10)
    }
    const start = performance.now()
    t.equal(await server.end('SIGTERM'), 0)
    t.ok(performance.now() - start < 1500, `ended after ${Math.round(performance.now() - start)} ms`)
    t.same(await readdir(join(folder, 'uploads/tmp')), [])
    server = await startServer(t, env)
    const states = await Promise.all(
      ids.map(async (id) => (await call(server.origin, `/media/${id}`, { token })).body.status)
    )
    t.ok(states.includes('processing'), String(states))
    for (const id of ids) await becomesReady(server, token, id)
  }
)

// Bug: segments were held whole, several times over, and mediabunny's iterator read ahead what it could in a second:
// 600 MB for 315 MB of film.
if (engine === 'sqlite') {
  t.test(
    'packaging takes less than 300 MB of memory, and light requests go on being answered',
    { skip: noFfmpeg, timeout: 900_000 },
    async (t) => {
      const { env } = await testEnvironment(t, { MAX_UPLOAD_BYTES: '4000000000' })
      const path = await film(t, LONG ? 660 : 100, '25M')
      const server = await startServer(t, env)
      const token = await newToken(server.origin, 'owner@example.org')
      const size = (await stat(path)).size
      const start = performance.now()
      const body = new FormData()
      for (const [name, value] of Object.entries({ title: 'A film', type: 'video', protection: 'encrypted' })) {
        body.set(name, value)
      }
      body.set('file', await openAsBlob(path), 'film.mp4')
      const uploaded = await fetch(`${server.origin}/media`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body
      })
      const { id } = (await uploaded.json()) as { id: string }
      const middle = performance.now()
      const times: number[] = []
      let status = 'processing'
      while (status === 'processing') {
        const asked = performance.now()
        status = String((await call(server.origin, `/media/${id}`, { token })).body.status)
        times.push(performance.now() - asked)
        await sleep(10)
      }
      t.equal(status, 'ready')
      const peak =
        Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${server.child.pid}/status`, 'utf8'))![1]) / 1000
      times.sort((a, b) => a - b)
      t.comment(
        `figure: ${Math.round(size / 1e6)} MB uploaded in ${Math.round(middle - start)} ms, packaged in ` +
          `${Math.round(performance.now() - middle)} ms, peak ${Math.round(peak)} MB, p99 ` +
          `${Math.round(times[Math.floor(times.length * 0.99)]!)} ms of ${times.length}`
      )
      t.ok(peak < 300, `${Math.round(peak)} MB`)
    }
  )
}

if (engine === 'postgres') {
  t.test('processes on Postgres take different jobs, and none twice at once', async (t) => {
    const { env } = await testEnvironment(t)
    const servers = await Promise.all([startServer(t, env), startServer(t, env)])
    const token = await newToken(servers[0]!.origin, 'owner@example.org')
    await Promise.all(servers.map((server) => server.end('SIGTERM')))
    const pools = [1, 2, 3, 4].map(() => openDatabase(loadConfig(env).database))
    t.teardown(() => Promise.all(pools.map((pool) => pool.destroy())))
    const server = await startServer(t, env)
    const ids = await Promise.all(
      Array.from(
        { length: 12 },
        async () =>
          (
            await call(server.origin, '/media', {
              token,
              json: { title: 'A talk', type: 'video', file_url: 'https://cdn.example.org/a.mp4' }
            })
          ).body.id as string
      )
    )
    await server.end('SIGTERM')
    for (const [index, id] of ids.entries()) {
      await pools[0]!
        .insertInto('jobs')
        .values({ id, kind: 'package', media_id: id, run_after: index, failures: 0, created_at: 0 })
        .execute()
    }
    const now = Date.now()
    const claims = (
      await Promise.all(Array.from({ length: 40 }, (_, index) => claimJob(pools[index % 4]!, ['package'], now, 30_000)))
    ).filter((job) => job !== undefined)
    t.equal(claims.length, new Set(claims.map((job) => job.id)).size, 'none twice')
    while (true) {
      const job = await claimJob(pools[0]!, ['package'], now, 30_000)
      if (job === undefined) break
      claims.push(job)
    }
    t.same(claims.map((job) => job.mediaId).sort(), [...ids].sort(), 'each once')
    t.equal(
      (await claimJob(pools[1]!, ['package'], now + 30_000, 30_000))?.id !== undefined,
      true,
      'again when the lease ends'
    )
  })
}
