import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { Ffmpeg } from '../../../../src/protection/hls/ffmpeg.js'
import { signUp, upload } from '../../../support/client.js'
import { buildTestApp, openTestApp, type TestApp } from '../../../support/test-app.js'
import { eventually } from '../../../support/server-process.js'
import { fakeFfmpeg } from '../../../support/fake-ffmpeg.js'
import { make, noFfmpeg, temporaryFolder } from '../../../support/ffmpeg.js'
import { shown } from '../../../support/protected-server.js'

/** How an ffmpeg may fail, as the body of a shell script; the first lines below say that it is there. */
const KINDS: Record<string, string> = {
  'exits at once': 'exit 1',
  'ends with 0 and no output': 'exit 0',
  'kills itself': 'kill -KILL $$',
  hangs: 'exec sleep 600',
  'writes without end': 'exec cat /dev/zero',
  'floods its error output': 'head -c 20000000 /dev/zero >&2; exit 1',
  'closes its output and stays': 'exec >&- 2>&-; sleep 600',
  'writes a part, then fails': 'head -c 100000 /dev/zero; exit 1',
  'ignores SIGTERM': 'trap "" TERM; while :; do sleep 1; done',
  'leaves a grandchild that holds its output': 'sleep 600 & exit 1',
  'is taken away after it was found': 'exit 127'
}
/** These run until their time is up; a transcode has ten minutes. */
const ENDLESS = new Set(['hangs', 'closes its output and stays', 'ignores SIGTERM'])

const posterOf = async (server: TestApp, id: string) =>
  (await server.query<{ poster_blob: string | null }>(`select poster_blob from media where id = '${id}'`))[0]!
    .poster_blob
const jobsOf = async (server: TestApp) =>
  (await server.query<{ n: number | string }>('select count(*) as n from jobs'))[0]!.n

/** A log that is read line by line. */
function logTo (lines: Array<Record<string, unknown>>) {
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      lines.push(
        ...chunk
          .toString()
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>)
      )
      done()
    }
  })
  return { level: 'info', stream }
}

t.test(
  'whatever ffmpeg does, the server lives and each media ends ready without a picture or failed with a reason',
  async (t) => {
    await Promise.all(
      Object.entries(KINDS).map(async ([kind, script]) => {
        const ffmpeg = new Ffmpeg(await fakeFfmpeg(t, script), { pictureLimitMs: 1000 })
        const server = await buildTestApp(t, {}, { ffmpeg })
        await server.listen()
        const admin = await signUp(server)
        const plain = (await upload(server, admin, 'tiny.mp4')).json<{ id: string }>()
        const avi = ENDLESS.has(kind)
          ? undefined
          : (await upload(server, admin, 'tiny.avi', { protection: 'encrypted' })).json<{ id: string }>()
        await eventually(
          `${kind}: its jobs are done`,
          async () => {
            // Retries wait for minutes by this clock.
            server.clock.advance(60_000)
            return Number(await jobsOf(server)) === 0
          },
          120_000
        )
        t.equal((await shown(server, plain.id, admin)).status, 'ready', `${kind}: the plain video is ready`)
        t.equal(await posterOf(server, plain.id), null, `${kind}: it has no picture`)
        if (avi !== undefined) {
          const media = await shown(server, avi.id, admin)
          t.match(
            media,
            {
              status: 'failed',
              error: { code: /^source_(damaged|inflated|has_no_media|too_large)$|^packaging_failed$/ }
            },
            `${kind}: the other failed with a reason`
          )
        }
        t.equal((await server.inject({ url: '/livez' })).statusCode, 200, `${kind}: the server lives`)
      })
    )
  }
)

t.test('an ffmpeg over its CPU or memory limit is ended: no picture, or a true reason; the server lives', async (t) => {
  const kinds: Array<[script: string, reason: RegExp]> = [
    ['while :; do :; done', /^ended with SIG(KILL|XCPU)$/],
    // Its buffer is larger than the address space of a transcode.
    ['exec dd if=/dev/zero bs=4G count=1', /memory exhausted/]
  ]
  for (const [script, reason] of kinds) {
    const lines: Array<Record<string, unknown>> = []
    const ffmpeg = new Ffmpeg(await fakeFfmpeg(t, script), { cpuSeconds: 1 })
    const server = await buildTestApp(t, {}, { ffmpeg, logger: logTo(lines) })
    await server.listen()
    const admin = await signUp(server)
    const plain = (await upload(server, admin, 'tiny.mp4')).json<{ id: string }>()
    const avi = (await upload(server, admin, 'tiny.avi', { protection: 'encrypted' })).json<{ id: string }>()
    await eventually(`${script}: its jobs are done`, async () => Number(await jobsOf(server)) === 0, 120_000)
    t.equal((await shown(server, plain.id, admin)).status, 'ready')
    t.equal(await posterOf(server, plain.id), null)
    t.match(lines.find(({ media_id: mediaId }) => mediaId === plain.id), { level: 30, reason })
    const error = { code: 'source_too_large', message: String }
    t.match(await shown(server, avi.id, admin), { status: 'failed', error })
    t.equal((await server.inject({ url: '/livez' })).statusCode, 200)
  }
})

t.test('an ffmpeg that is missing, a folder, or not executable is treated as not installed', async (t) => {
  const missing = await temporaryFolder(t)
  t.equal(await new Ffmpeg(missing).version(), undefined)
  const forbidden = await temporaryFolder(t)
  await writeFile(join(forbidden, 'ffmpeg'), '#!/bin/sh\nexit 0\n', { mode: 0o644 })
  t.equal(await new Ffmpeg(forbidden).version(), undefined)
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'ffmpeg'))
  t.equal(await new Ffmpeg(folder).version(), undefined)
})

t.test(
  'a stop while a picture is taken is no failure: the next start takes it (bug: the job was deleted, the picture lost)',
  async (t) => {
    const lines: Array<Record<string, unknown>> = []
    const hanging = new Ffmpeg(await fakeFfmpeg(t, 'touch "$(dirname "$0")/begun"; exec sleep 600'))
    const first = await buildTestApp(t, {}, { ffmpeg: hanging, logger: logTo(lines) })
    await first.listen()
    const admin = await signUp(first)
    const { id } = (await upload(first, admin, 'tiny.mp4')).json<{ id: string }>()
    await eventually(
      'the picture is begun',
      async () => Number((await first.query<{ attempts: number }>('select attempts from jobs'))[0]?.attempts) === 1
    )
    await first.app.close()
    t.notOk(
      lines.find(({ level }) => Number(level) >= 40),
      'nothing is logged as a warning'
    )
    t.equal(Number(await jobsOf(first)), 1, 'the job is kept')

    const working = new Ffmpeg(await fakeFfmpeg(t, 'printf picture'))
    const second = await openTestApp(t, first.env, first.folder, { ffmpeg: working })
    await second.listen()
    await eventually('the picture is taken', async () => {
      second.clock.advance(60_000)
      return (await posterOf(second, id)) !== null
    })
  }
)

t.test('a picture that a damaged file does not give is one line in the log, without a stack', async (t) => {
  const lines: Array<Record<string, unknown>> = []
  const failing = new Ffmpeg(await fakeFfmpeg(t, 'echo "Invalid data found" >&2; exit 1'))
  const server = await buildTestApp(t, {}, { ffmpeg: failing, logger: logTo(lines) })
  await server.listen()
  const { id } = (await upload(server, await signUp(server), 'tiny.mp4')).json<{ id: string }>()
  await eventually('the job is done', async () => Number(await jobsOf(server)) === 0)
  const told = lines.filter(({ media_id: mediaId }) => mediaId === id)
  t.match(told, [{ level: 30, reason: 'Invalid data found', msg: 'failed to take a picture of a video' }])
  t.equal(told.length, 1)
})

t.test('ffmpeg is given PATH and nothing else: no secret of the server reaches it', async (t) => {
  const folder = await temporaryFolder(t)
  const ffmpeg = new Ffmpeg(await fakeFfmpeg(t, `env > ${folder}/environment; printf picture`))
  const server = await buildTestApp(t, {}, { ffmpeg })
  await server.listen()
  const { id } = (await upload(server, await signUp(server), 'tiny.mp4')).json<{ id: string }>()
  await eventually('the picture is taken', async () => (await posterOf(server, id)) !== null)
  const names = (await readFile(join(folder, 'environment'), 'utf8')).split('\n').map((line) => line.split('=')[0]!)
  // PWD, OLDPWD, _ and SHLVL are the shell's own.
  t.strictSame(
    names.filter((name) => name !== '' && !['PWD', 'OLDPWD', '_', 'SHLVL'].includes(name)),
    ['PATH']
  )
})

t.test(
  'pictures beyond 8192 × 4320 are decoded by nobody: a 564 KB video took 1.4 GB',
  { skip: noFfmpeg },
  async (t) => {
    const folder = await temporaryFolder(t)
    const source = ['-f', 'lavfi', '-i', 'color=red:size=16000x12000:rate=5:duration=0.2']
    const path = await make(
      join(folder, 'huge.mp4'),
      ...source,
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p'
    )
    const ffmpeg = new Ffmpeg(process.env.PATH!)
    // As for a header that lies: what is in the file is bounded too.
    const failure: unknown = await ffmpeg
      .takePicture(path, 0)
      .toArray()
      .catch((error: unknown) => error)
    t.match(failure, { kind: 'damaged' })

    const lines: Array<Record<string, unknown>> = []
    const server = await buildTestApp(t, {}, { ffmpeg, logger: logTo(lines) })
    await server.listen()
    await upload(server, await signUp(server), await readFile(path))
    await eventually('the job is done', async () => Number(await jobsOf(server)) === 0)
    t.match(
      lines.find(({ reason }) => reason !== undefined),
      { reason: '16000 × 12000 pixels are too many' }
    )
  }
)

/** Most memory, in MB, that a process with `path` among its arguments was seen to take; Linux only. */
function watchMemory (t: Test, path: string): { peak: number } {
  const seen = { peak: 0 }
  const look = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const [program, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        if (program !== 'ffmpeg' || !args.includes(path)) continue
        const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
        seen.peak = Math.max(seen.peak, Number(kilobytes ?? 0) / 1000)
      } catch {
        // It ended in between.
      }
    }
  }
  const looks = setInterval(look, 5)
  t.teardown(() => clearInterval(looks))
  return seen
}

t.test('ffmpeg runs within bounds of address space, data and CPU time, and leaves no core', async (t) => {
  const folder = await temporaryFolder(t)
  const script = `for one in v d t c; do ulimit -$one; done > ${folder}/limits; printf picture`
  const ffmpeg = new Ffmpeg(await fakeFfmpeg(t, script))
  const limits = async () => (await readFile(join(folder, 'limits'), 'utf8')).trim().split('\n')
  await ffmpeg.takePicture('/nonexistent', 0).toArray()
  t.same(await limits(), ['786432', '278528', '120', '0'], 'of a picture')
  await ffmpeg.transcode('/nonexistent', {}, 600_000).toArray()
  t.match(await limits(), ['3145728', String, '1200', '0'], 'of a transcode')
})

t.test(
  'one picture takes less than 300 MB, or is refused (bug: 331 MB for a PNG of 16 bits in a 0.43 MB file)',
  { skip: noFfmpeg || (process.platform !== 'linux' && 'reads /proc') },
  async (t) => {
    const folder = await temporaryFolder(t)
    const source = ['-f', 'lavfi', '-i', 'color=red:size=8192x4320:rate=1:duration=1', '-frames:v', '1']
    const ffmpeg = new Ffmpeg(process.env.PATH!)

    const png = await make(join(folder, 'png.mov'), ...source, '-c:v', 'png', '-pix_fmt', 'rgba64be')
    const memoryOfPng = watchMemory(t, png)
    const failure: unknown = await ffmpeg
      .takePicture(png, 0)
      .toArray()
      .catch((error: unknown) => error)
    t.match(failure, { kind: 'excessive' })
    t.ok(memoryOfPng.peak < 300, `${memoryOfPng.peak} MB`)

    const encoder = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p']
    const mp4 = await make(join(folder, 'h264.mp4'), ...source, ...encoder)
    const memoryOfH264 = watchMemory(t, mp4)
    const picture = Buffer.concat((await ffmpeg.takePicture(mp4, 0).toArray()) as Buffer[])
    t.ok(picture.subarray(0, 2).equals(Buffer.from([0xff, 0xd8])), 'the same size in H.264 gives a JPEG')
    t.ok(memoryOfH264.peak > 0 && memoryOfH264.peak < 300, `${memoryOfH264.peak} MB`)
  }
)
