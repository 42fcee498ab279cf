import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/config.js'
import { openDatabase } from '../../../src/database/open.js'
import { listOwnedBlobs } from '../../../src/media/media-store.js'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { Sweeper } from '../../../src/storage/sweep.js'
import { MINUTE } from '../../../src/time.js'
import { clockOf } from '../../support/clock.js'
import { playgate } from '../../support/playgate.js'
import { protectedMedia } from '../../support/protected-server.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, removalsDone, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { signUp, upload } from '../../support/client.js'

interface Findings {
  findings: Array<{ check: string; status: string; message: string; fix?: string }>
}

/** Blobs of a server by whether they are marked as committed. */
async function marksOf ({ app, storedFiles }: TestApp): Promise<boolean[]> {
  return await Promise.all((await storedFiles()).map((name) => app.blobs.isCommitted(name)))
}

/** A sweep by another process that is the only one. */
async function sweepNow (t: Test, server: TestApp) {
  const db = openDatabase(loadConfig(server.env).database)
  t.teardown(() => db.destroy())
  const owned = (names: string[]) => listOwnedBlobs(db, names)
  return await new Sweeper({ store: server.app.blobs, owned, clock: clockOf(() => 0) }).sweep({ isOnlyInstance: true })
}

async function rollBack (server: TestApp, mediaId: string, facts: Array<{ name: string; value: string }>) {
  await server.query(`delete from media where id = '${mediaId}'`)
  for (const { name, value } of facts) {
    await server.query(`update server_facts set value = '${value}' where name = '${name}'`)
  }
}

t.test(
  'an acknowledged upload survives a rollback of the database by a minute, whatever the sweep does (bug: a replica ' +
    'that took over had lost its row, and 15 minutes later the file was swept)',
  async (t) => {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => mock.timers.reset())
    const monotonic = { now: 0 }
    const logged: string[] = []
    const stream = new Writable({
      write (line: Buffer, _encoding, done) {
        logged.push(line.toString())
        done()
      }
    })
    const clock = { monotonicNow: () => monotonic.now }
    const server = await buildTestApp(t, {}, { clock, logger: { level: 'error', stream } })
    const { folder } = server
    const ageOf = async () => await server.query("select value from server_facts where name = 'storage.age'")
    await server.listen()
    await eventually('the first look is done', async () => (await server.app.blobs.sweepCount()) === 1)
    t.match(await ageOf(), [{ value: '1' }])

    const person = await signUp(server)
    const facts = await server.query<{ name: string; value: string }>('select name, value from server_facts')
    const { id } = (await upload(server, person)).json<{ id: string }>()
    const [file] = await server.storedFiles()
    await rollBack(server, id, facts)
    t.match(await ageOf(), [{ value: '1' }], 'the count of looks does not show the rollback')

    const crashed = join(folder, 'uploads', 'blobs', 'crashed')
    for (let round = 1; round <= 2; round++) {
      await writeFile(crashed, 'renamed, and never committed')
      await eventually(`${round}: a file that a crash left without a row is swept`, async () => {
        monotonic.now += 10 * MINUTE
        mock.timers.tick(10 * MINUTE)
        return !(await server.storedFiles()).includes('crashed')
      })
    }
    t.ok(monotonic.now > 30 * MINUTE)
    t.same(await server.storedFiles(), [file])
    t.same(await readFile(join(folder, 'uploads', 'blobs', file!)), await fixture('tiny.mp4'))
    t.equal(logged.filter((line) => line.includes('1 file was acknowledged and has no row')).length, 1, 'logged once')

    const { code, json } = await playgate(server.env, ['doctor', '--json'])
    t.equal(code, 1)
    t.match(
      json<Findings>().findings.find(({ check }) => check === 'files'),
      { status: 'fail', message: /^1 file was acknowledged and has no row/, fix: /sweep --remove-acknowledged/ }
    )
    t.match(await playgate(server.env, ['sweep', '--dry-run']), { code: 0, out: `acknowledged blob ${file} (` })

    await server.app.close()
    t.match((await playgate(server.env, ['sweep', '--no-server-runs', '--json'])).json(), {
      items: [],
      acknowledged: [{ name: file }]
    })
    t.same(await server.storedFiles(), [file])
    t.match(
      (await playgate(server.env, ['sweep', '--no-server-runs', '--remove-acknowledged', '--json'])).json(),
      { removed: true, items: [{ name: file }], acknowledged: [] }
    )
    t.same(await server.storedFiles(), [])
    t.match(await playgate(server.env, ['doctor']), { out: /ok +files +every acknowledged file has a row/ })
  }
)

t.test('the file, the package and the picture of a media are marked, and a DELETE removes all three', async (t) => {
  const bin = t.testdir({ ffmpeg: '#!/bin/sh\n[ "$1" != -version ] && printf picture || echo "ffmpeg version fake"\n' })
  await chmod(join(bin, 'ffmpeg'), 0o755)
  const server = await buildTestApp(t, {}, { ffmpeg: new Ffmpeg(`${bin}:/usr/bin:/bin`) })
  const person = await signUp(server)
  const id = await protectedMedia(server, person)
  await eventually('all are made', async () => (await server.query('select id from jobs')).length === 0)
  t.same(await marksOf(server), [true, true, true])

  t.equal((await server.inject({ method: 'DELETE', url: `/media/${id}`, headers: person.headers })).statusCode, 204)
  await removalsDone(server)
  t.same(await server.storedFiles(), [])
})

t.test('a file that cannot be removed keeps its row until it can (bug: the row went first)', async (t) => {
  const server = await buildTestApp(t)
  await server.listen()
  const person = await signUp(server)
  const { id } = (await upload(server, person)).json<{ id: string }>()
  const { remove } = server.app.blobs
  let refused = 0
  server.app.blobs.remove = async () => {
    refused++
    throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' })
  }
  t.equal((await server.inject({ method: 'DELETE', url: `/media/${id}`, headers: person.headers })).statusCode, 204)
  await eventually('the removal is tried', () => refused > 0)
  t.equal((await server.query(`select id from media where id = '${id}'`)).length, 1)

  server.app.blobs.remove = remove
  await eventually('it is tried again', async () => {
    server.clock.advance(MINUTE)
    return (await server.query('select id from media')).length === 0
  })
  t.same(await server.storedFiles(), [])
})

t.test('a package that is dropped is swept if its process dies before it is removed', async (t) => {
  const server = await buildTestApp(t)
  const person = await signUp(server)
  const id = await protectedMedia(server, person)
  const { remove } = server.app.blobs
  server.app.blobs.remove = async () => {
    throw new Error('the process died here')
  }
  const payload = { protection: 'none' }
  const reply = await server.inject({ method: 'PATCH', url: `/media/${id}`, headers: person.headers, payload })
  t.match(reply.json(), { status: 'ready', protection: 'none' })
  server.app.blobs.remove = remove
  t.same((await marksOf(server)).sort(), [false, true])

  t.match(await sweepNow(t, server), { removed: [{ kind: 'blob' }], kept: [] })
  t.same(await marksOf(server), [true])
})
