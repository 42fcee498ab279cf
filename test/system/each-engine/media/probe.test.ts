import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { createProber } from '../../../../src/media/probe/probe.js'
import { buildTestApp, expectProblem, testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { fixture, fixtures } from '../../../support/fixtures.js'
import { newToken, signUpEverybody, upload } from '../../../support/client.js'
import * as hostile from '../../../support/hostile-files.js'

const KiB = 1024
const MB = 1_000_000
const PUT = '/media/uploads?title=A&type=video'
const matroskaTracks = () => hostile.manyElements('1654ae6b', hostile.matroskaTrack, MB)

/** Resident bytes of a process and its children, now. */
function residentBytes (pid: number): number {
  let bytes = 0
  for (const one of [pid, ...childrenOf(pid)]) {
    try {
      bytes += Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${one}/status`, 'latin1'))?.[1] ?? 0) * KiB
    } catch {}
  }
  return bytes
}

function childrenOf (pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => {
      try {
        return readFileSync(`/proc/${one}/stat`, 'latin1').split(') ')[1]!.split(' ')[1] === String(pid)
      } catch {
        return false
      }
    })
}

t.test('a file that takes too much is refused as such, and the next one is described', async (t) => {
  const folder = t.testdir()
  const prober = createProber()
  t.teardown(() => prober.close())
  const path = (name: string, content: Buffer) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const tooComplex: Array<[name: string, content: Buffer, exceeded: string | RegExp]> = [
    ['a compressed header of 1 GiB', hostile.compressedHeader(), 'memory'],
    ['0.44 MB of track boxes', hostile.manyTracks(440_000), 'cpu'],
    // On a slow machine its CPU time ends before its memory does.
    ['70,000 Ogg streams', hostile.oggPages(2 * MB), /^(memory|cpu)$/],
    ['1 MB of Matroska tracks', matroskaTracks(), 'cpu']
  ]
  for (const [name, content, exceeded] of tooComplex) {
    const refusal = { code: 'media_too_complex', options: { extra: { exceeded } } }
    await t.rejects(prober.probe(path(name, content), 'a'), refusal, name)
  }
  const harmless: Array<[name: string, content: Buffer]> = [
    ['moov in moov', hostile.deepBoxes('moov')],
    ['udta in udta', hostile.deepBoxes('udta')],
    ['tables that claim 2^32 samples', hostile.sampleTables(10_000)],
    ['200,000 texts', hostile.manyTexts()],
    ['Matroska tags in tags', hostile.deepElements()],
    ['an element of 2^56 bytes', hostile.endlessElement()],
    ['4 MB of Matroska tags', hostile.manyElements('1254c367', hostile.matroskaTag, 4 * MB)],
    ['LIST in LIST', hostile.deepLists()],
    ['1 MB of AVI streams', hostile.manyStreams(MB)]
  ]
  for (const [name, content] of harmless) {
    const found = await prober.probe(path(name, content), 'a').catch((error: { statusCode: number }) => error)
    t.ok(found === null || ('statusCode' in found && found.statusCode === 415), name)
  }
  t.match(await prober.probe(join(fixtures, 'tiny.mp4'), 'a'), { contentType: 'video/mp4' })
  t.equal(prober.pending(), 0)
})

t.test('a wait or a probe that takes too long is refused with a time to come back', async (t) => {
  const hasty = createProber({ wallMs: 1 })
  const impatient = createProber({ maxWaitMs: 1 })
  t.teardown(() => {
    hasty.close()
    impatient.close()
  })
  const path = join(fixtures, 'tiny.mp4')
  const overloaded = { code: 'overloaded', options: { headers: { 'retry-after': /\d+/ } } }
  await t.rejects(hasty.probe(path, 'a'), overloaded)
  const first = impatient.probe(path, 'a')
  await t.rejects(impatient.probe(path, 'a'), overloaded)
  t.match(await first, { contentType: 'video/mp4' })
})

t.test('a probe process that somebody kills fails one probe, and is started again', async (t) => {
  const prober = createProber()
  t.teardown(() => prober.close())
  const path = join(fixtures, 'tiny.mp4')
  const cut = prober.probe(path, 'a')
  await eventually('it runs', () => prober.pid() !== undefined)
  process.kill(prober.pid()!, 'SIGKILL')
  await t.rejects(cut, { code: 'overloaded' })
  t.match(await prober.probe(path, 'a'), { contentType: 'video/mp4' })
  const missing = prober.probe(join(t.testdir(), 'none.mp4'), 'a')
  await t.rejects(missing, { code: 'ENOENT' }, 'a refused system call is not the fault of a file')
  const last = prober.probe(path, 'a')
  prober.close()
  await t.rejects(last, { code: 'shutting_down' })
  await t.rejects(prober.probe(path, 'a'), { code: 'shutting_down' })
})

t.test('a probe process has no environment, and ends with its server', async (t) => {
  const { env } = await testEnvironment(t)
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'ada@example.org')
  t.match(await call(server.origin, PUT, { method: 'PUT', token, body: await fixture('tiny.mp4') }), { status: 201 })
  const pids = childrenOf(server.child.pid!)
  t.equal(pids.length, 1)
  t.notMatch(readFileSync(`/proc/${pids[0]}/environ`, 'latin1'), /SECRET|DATABASE/)
  await server.end('SIGKILL')
  await eventually('the probe process has ended', () => !readdirSync('/proc').includes(String(pids[0])))
})

t.test('ten hostile files of one account: memory grows by < 300 MB, and another account is next', async (t) => {
  const { env } = await testEnvironment(t)
  const server = await startServer(t, env)
  const ada = await newToken(server.origin, 'ada@example.org')
  const bob = await newToken(server.origin, 'bob@example.org')
  const before = residentBytes(server.child.pid!)
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(server.child.pid!))
  }, 20)
  const put = (token: string, body: Buffer) => call(server.origin, PUT, { method: 'PUT', token, body })
  const files = [hostile.manyTracks(440_000), hostile.compressedHeader(), hostile.oggPages(2 * MB)]
  if (process.env.TEST_LONG) files.splice(1, 2, hostile.manyTracks(1_800_000), matroskaTracks())
  let refused = 0
  const hostiles = Array.from({ length: 10 }, async (_, i) => {
    const reply = await put(ada, files[i % files.length]!)
    refused++
    return [reply.status, reply.body.code]
  })
  const pending = async () => {
    const {
      body: { text }
    } = await call(server.origin, '/metrics')
    return Number(/^playgate_probes_pending (\d+)/m.exec(String(text))?.[1])
  }
  await eventually('most of them wait', async () => (await pending()) + refused === 10)
  const [refusedBefore, began] = [refused, performance.now()]
  const tiny = await put(bob, await fixture('tiny.mp4'))
  const milliseconds = performance.now() - began
  // The one that runs as it comes, and what ends while its own bytes are on their way.
  t.ok(refused - refusedBefore <= 5, `${refused - refusedBefore} of the ten had their turn before`)
  t.match(tiny, { status: 201 })
  t.same(new Set((await Promise.all(hostiles)).map(String)), new Set(['422,media_too_complex']))
  clearInterval(watch)
  const grown = (peak - before) / MB
  t.ok(grown < 300, `memory grew by ${grown.toFixed(0)} MB`)
  t.comment(`the tiny file was answered in ${milliseconds.toFixed(0)} ms; memory grew by ${grown.toFixed(0)} MB`)
})

t.test('an upload gets its response however long its probe takes (bug: its silent socket was cut)', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const origin = await server.listen()
  // Below the 1.5 s of CPU that the probe takes, and long enough for a busy machine to receive the body.
  server.app.server.setTimeout(700)
  const body = hostile.manyTracks(440_000)
  const reply = await call(origin, PUT, { method: 'PUT', token: instructor.token, body })
  t.match(reply, { status: 422, body: { code: 'media_too_complex', exceeded: 'cpu' } })
  expectProblem(t, await upload(server, instructor, hostile.compressedHeader()), 422, 'media_too_complex')
  t.same(await server.storedFiles(), [], 'nothing is left of them')
})

t.test(
  'a probe process ends with a server that is killed while the process starts (bug: it stayed for good)',
  async (t) => {
    const child = fork(resolve('dist/src/media/probe/probe-child.js'), [], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc']
    })
    t.teardown(() => child.kill('SIGKILL'))
    child.disconnect()
    t.same(await once(child, 'exit'), [null, 'SIGKILL'])
  }
)

t.test('a probe process ends with its thread (bug: the upload waited for 30 s)', async (t) => {
  const endThread = 'data:text/javascript,process.on("worker", (thread) => thread.terminate())'
  const child = fork(resolve('dist/src/media/probe/probe-child.js'), [], {
    execArgv: ['--import', endThread],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc']
  })
  t.teardown(() => child.kill('SIGKILL'))
  t.same(await once(child, 'exit'), [1, null])
})

t.test('a probe that never ends is ended with its process, and the next file is described', async (t) => {
  const prober = createProber({ wallMs: 5000 })
  t.teardown(() => prober.close())
  const endless = join(t.testdir(), 'endless.mp4')
  execFileSync('mkfifo', [endless])
  const cut = prober.probe(endless, 'a')
  await eventually('it runs', () => prober.pid() !== undefined)
  const pid = prober.pid()!
  await t.rejects(cut, { code: 'overloaded', options: { headers: { 'retry-after': '5' } } })
  await eventually('its process has ended', () => !readdirSync('/proc').includes(String(pid)))
  t.match(await prober.probe(join(fixtures, 'tiny.mp4'), 'a'), { contentType: 'video/mp4' })
})
