import { spawnSync } from 'node:child_process'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { decodingErrors, make, noFfmpeg, picture, temporaryFolder, tone } from '../../../support/ffmpeg.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { engine, queryDatabase, testEnvironment } from '../../../support/test-app.js'
import { form, newToken } from '../../../support/client.js'

const KILLS = process.env.TEST_LONG ? 50 : 3
/** A killed process' job is due when its lease of 30 s ends, or at once for the only instance. */
const READY_MS = engine === 'postgres' ? 120_000 : 90_000

interface Shown {
  renditions: Array<{ status: string; error?: object; size_bytes: number | null }>
}

/** The processes of ffmpeg that read files of a folder. */
function ffmpegsOf (folder: string): number[] {
  const { stdout } = spawnSync('pgrep', ['-f', `^ffmpeg .*${folder}`], { encoding: 'utf8' })
  return stdout.split('\n').filter(Boolean).map(Number)
}

t.test(
  'ffmpeg and the server are killed while renditions are made: none is half, and none is forgotten',
  { skip: noFfmpeg, timeout: 3_000_000 },
  async (t) => {
    const { env, folder } = await testEnvironment(t, { LOG_LEVEL: 'warn', PATH: process.env.PATH! })
    const source = join(await temporaryFolder(t), 'source.avi')
    const content = await readFile(
      await make(source, ...picture(4, '640x360'), ...tone(4), '-c:v', 'mpeg4', '-q:v', '4', '-c:a', 'mp3')
    )
    let server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    const drafts = async () => await readdir(join(folder, 'uploads/tmp'))
    const shown = async (id: string) => (await call(server.origin, `/media/${id}`, { token })).body as unknown as Shown

    const uploadOne = async (): Promise<string> => {
      const { headers, payload } = form([
        { name: 'title', value: 'A film' },
        { name: 'type', value: 'video' },
        { name: 'file', value: content, fileName: 'a' }
      ])
      const reply = await call(server.origin, '/media', { token, body: payload, method: 'POST', headers })
      if (reply.status !== 201) throw new Error(JSON.stringify(reply.body))
      return reply.body.id as string
    }
    /** The stream is the whole source, or a whole rendition. */
    const checkStream = async (id: string) => {
      const { body } = await call(server.origin, `/media/${id}/stream-url`, { token })
      const reply = await fetch(body.stream_url as string)
      const bytes = Buffer.from(await reply.arrayBuffer())
      const [rendition] = (await shown(id)).renditions
      const isSource = bytes.equals(content)
      const isRendition = rendition?.status === 'ready' && bytes.length === rendition.size_bytes
      t.ok(isSource || isRendition, `${id}: ${bytes.length} bytes, and ${JSON.stringify(rendition)}`)
    }

    const ids: string[] = []
    let during = 0
    for (let kill = 0; kill < KILLS; kill++) {
      ids.push(await uploadOne())
      const known = new Set(await drafts())
      const isWriting = async () => (await drafts()).some((name) => !known.has(name)) && ffmpegsOf(folder).length > 0
      await eventually('a rendition is written', async () => (await isWriting()) || kill > 0, 60_000)
      await sleep(Math.random() * 1000)
      const running = ffmpegsOf(folder)
      if (running.length > 0) during++
      if (kill % 3 === 2) {
        for (const pid of running) spawnSync('kill', ['-KILL', String(pid)])
      } else {
        await server.end('SIGKILL')
        await eventually('ffmpeg ends with its server', () => ffmpegsOf(folder).length === 0, 5000)
        server = await startServer(t, env)
      }
      await checkStream(ids.at(-1)!)
    }

    for (const id of ids) {
      const isSettled = async () => ['ready', 'failed'].includes((await shown(id)).renditions[0]?.status ?? '')
      await eventually(`the rendition of ${id} ends`, isSettled, READY_MS)
      const [rendition] = (await shown(id)).renditions
      t.ok(rendition?.status === 'ready' || rendition?.error !== undefined, 'ready, or failed with a reason')
      await checkStream(id)
      const { body } = await call(server.origin, `/media/${id}/stream-url`, { token })
      t.equal(await decodingErrors(body.stream_url as string), '', id)
    }
    const states = await Promise.all(ids.map(async (id) => (await shown(id)).renditions[0]?.status))
    const ready = states.filter((status) => status === 'ready').length
    await server.end('SIGTERM')
    const sweeper = spawnSync(process.execPath, ['dist/src/cli.js', 'sweep', '--no-server-runs'], {
      env: { ...process.env, ...env },
      encoding: 'utf8'
    })
    t.equal(sweeper.status, 0, sweeper.stderr)
    // A kill may also end the ffmpeg that takes a poster. Its media then has none.
    const [row] = await queryDatabase<{ posters: number }>(
      loadConfig(env),
      'select count(poster_blob) as posters from media'
    )
    const files = ids.length + Number(row!.posters) + ready
    t.same([await drafts(), (await readdir(join(folder, 'uploads/blobs'))).length], [[], files])
    t.comment(`figure: ${during} of ${KILLS} kills came while ffmpeg ran; ${ready} of ${ids.length} are ready`)
  }
)
