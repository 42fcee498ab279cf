import { spawnSync } from 'node:child_process'
import { chown, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, startServer, type Reply } from '../../../support/server-process.js'
import { fixture } from '../../../support/fixtures.js'
import { newToken } from '../../../support/client.js'
import { startPostgres } from '../../../support/services.js'
import { mountSmallDisk, noMount, type SmallDisk } from '../../../support/small-disk.js'
import { noStrace, strace } from '../../../support/strace.js'
import { rowsOf, startVictim, sweepTwice, uploadForm, wav } from '../../../support/workload.js'

const MiB = 1024 * 1024

/** An environment whose database is on a disk of its own, a small one: on Postgres, as a tablespace. */
async function onSmallDisk (t: Test): Promise<{ env: Record<string, string>; disk: SmallDisk }> {
  if (engine === 'sqlite') {
    const { env, folder } = await testEnvironment(t)
    return { env, disk: await mountSmallDisk(t, join(folder, 'data'), 4) }
  }
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const disk = await mountSmallDisk(t, join(postgres.folder, 'small'), 24)
  const [uid, gid] = ['-u', '-g'].map((option) =>
    Number(spawnSync('id', [option, 'postgres'], { encoding: 'utf8' }).stdout)
  ) as [number, number]
  await chown(disk.folder, uid, gid)
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(`create tablespace small location '${disk.folder}'`)
  await client.query('create database small tablespace small')
  await client.end()
  const url = new URL(postgres.url)
  url.pathname = '/small'
  const { env } = await testEnvironment(t, { DATABASE_URL: url.href })
  return { env, disk }
}

function expectUnavailable (t: Test, { status, body, headers }: Reply, detail: RegExp): void {
  t.match(
    { status, body, retry: headers.get('retry-after') },
    { status: 503, body: { code: 'database_unavailable', detail }, retry: /^\d+$/ },
    JSON.stringify(body)
  )
}

// Bug: SQLite rolls back by itself when its disk is full; the rollback that followed hid the error, and the answer was
// a 500.
t.test(
  'the disk of the database is full: a clear refusal, views count only if committed, reads go on, all is well when ' +
    'there is room',
  { skip: noMount, timeout: 300_000 },
  async (t) => {
    const { env, disk } = await onSmallDisk(t)
    const server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    const file = await fixture('tiny.mp4')
    const {
      body: { id }
    } = await uploadForm(server.origin, token, file)
    const stream = async () =>
      (
        await fetch(`${server.origin}/media/stream/${id as string}`, {
          headers: { authorization: `Bearer ${token}`, range: 'bytes=1-9' }
        })
      ).status
    let acknowledged = 0
    const view = async () => {
      // A long user agent: the log grows sooner.
      const reply = await call(server.origin, `/media/${id as string}/view`, {
        method: 'POST',
        token,
        headers: { 'user-agent': 'x'.repeat(512) }
      })
      if (reply.status === 200) acknowledged++
      return reply
    }
    const logged = async () =>
      Number((await rowsOf<{ count: number }>(env, 'select count(*) as count from views'))[0]!.count)

    await view()
    await disk.fill()
    let refused: Reply | undefined
    for (let tries = 0; tries < 500 && refused === undefined; tries++) {
      refused = (await Promise.all(Array.from({ length: 50 }, view))).find(({ status }) => status !== 200)
    }
    expectUnavailable(t, refused!, /full/)
    for (let tries = 0; tries < 20; tries++) {
      const reply = await view()
      if (reply.status !== 200) expectUnavailable(t, reply, /full/)
    }
    t.equal(await logged(), acknowledged, 'a view that was refused is not counted, one that was acknowledged is')
    t.match(await call(server.origin, `/media/${id as string}/analytics`, { token }), {
      status: 200,
      body: { total_views: acknowledged }
    })
    t.match(await call(server.origin, '/media', { token }), { status: 200, body: { total: 1 } })
    t.equal(await stream(), 206)
    t.equal((await call(server.origin, '/livez')).status, 200)

    let media = 1
    let upload: Reply | undefined
    for (let tries = 0; tries < 500 && upload?.status !== 503; tries++) {
      upload = await uploadForm(server.origin, token, file)
      if (upload.status === 201) media++
    }
    expectUnavailable(t, upload!, /full/)
    t.equal((await readdir(join(env.UPLOAD_DIR!, 'blobs'))).length, media, 'no file of a refused one stays')
    t.same(await readdir(join(env.UPLOAD_DIR!, 'tmp')), [])

    await disk.free()
    t.equal((await view()).status, 200)
    t.equal(await logged(), acknowledged)
    t.equal((await uploadForm(server.origin, token, file)).status, 201)
    t.match(await call(server.origin, '/media', { token }), { body: { total: media + 1 } })
    t.equal(await server.end('SIGTERM'), 0)
  }
)

const fsyncFails = { calls: 'fsync,fdatasync', inject: 'error=EIO', detail: /database is not available/ }
const logFaults: Array<{ name: string; calls: string; inject: string; detail: RegExp; sweepFirst?: boolean }> = [
  { name: 'ENOSPC of a write', calls: 'pwrite64', inject: 'error=ENOSPC', detail: /full/ },
  { name: 'EIO of a write', calls: 'pwrite64', inject: 'error=EIO', detail: /database is not available/ },
  // Bug: such a commit stands in the log, unseen, and came back by the kill, for a file that had been removed by then,
  // at once or by a sweep.
  { name: 'EIO of an fsync', ...fsyncFails },
  { name: 'EIO of an fsync, then a sweep', ...fsyncFails, sweepFirst: true }
]

if (engine === 'sqlite') {
  // Postgres ends and starts again when its log cannot be written: see postgres.test.ts.
  t.test(
    'the log of SQLite cannot be written: a clear refusal, and no row without its file when the process dies then',
    { skip: noStrace, timeout: 300_000 },
    async (t) => {
      const victim = await startVictim(t)
      const { token } = victim
      for (const { name, calls, inject, detail, sweepFirst = false } of logFaults) {
        await t.test(name, async (t) => {
          const { server } = victim
          const trace = await strace(t, server.child.pid!, {
            calls,
            inject,
            path: join(victim.env.DATA_DIR!, 'playgate.db-wal')
          })
          t.equal(await victim.view(), false, 'no view is acknowledged')
          expectUnavailable(
            t,
            await call(server.origin, `/media/${[...victim.uploads.keys()][0]!}`, {
              method: 'PATCH',
              token,
              json: { title: 'Another' }
            }),
            detail
          )
          // The last: what comes later overwrites it in the log.
          expectUnavailable(t, await uploadForm(server.origin, token, wav(MiB)), detail)
          t.equal((await call(server.origin, '/media', { token })).status, 200, 'reads go on')
          t.ok(
            (await trace.end()).some(({ text }) => text.endsWith('(INJECTED)')),
            'the fault was injected'
          )
          t.match(victim.odd.splice(0), [/^503 .*database_unavailable/], 'the view was refused')
          if (sweepFirst) await sweepTwice(victim.env)
          server.child.kill('SIGKILL')
          await victim.restart()
          await victim.check(t, 'after the kill')
          t.ok(await victim.upload(await fixture('tiny.mp4')), 'uploads work again')
          t.ok(await victim.view(), 'views work again')
        })
      }
      t.same(victim.odd, [])
    }
  )
}
