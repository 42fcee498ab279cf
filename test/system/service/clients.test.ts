import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'
import { noiseWav } from '../../support/raw-http.js'

const run = promisify(execFile)
const MiB = 1024 * 1024
const server = await buildTestApp(t)
const origin = await server.listen()
const { instructor } = await signUpEverybody(server)
const content = noiseWav(9 * MiB + 4 * 1234)
const { id, sha256 } = (await upload(server, instructor, content, { type: 'audio' })).json<{
  id: string
  sha256: string
}>()
const file = (name: string) => join(server.folder, name)
const sha = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
const halfFile = async (name: string) => writeFile(file(name), content.subarray(0, content.length / 2))
const newLink = async (of = id) => origin + (await mintLink(server, of, instructor))

/**
 * A test with a program of this machine; skipped, and said why, where it is not installed. CI counts that as a failure.
 */
function withProgram (program: string, name: string, test: (t: Test) => Promise<void>): void {
  try {
    execFileSync('which', [program], { stdio: 'ignore' })
  } catch {
    t.test(
      name,
      {
        skip:
          `${program} IS NOT INSTALLED: apt-get install ` +
          `${program === 'aria2c' ? 'aria2' : program === 'ffprobe' ? 'ffmpeg' : program}`
      },
      async () => {}
    )
    return
  }
  t.test(name, test)
}

t.test('the server says the hash of what it was given', async (t) =>
  t.equal(sha256, createHash('sha256').update(content).digest('hex'))
)

withProgram('curl', 'curl -C - resumes a half file', async (t) => {
  await halfFile('curl')
  const { stderr } = await run('curl', ['-sS', '-f', '-v', '-C', '-', '-o', file('curl'), await newLink()])
  t.match(stderr, /HTTP\/1\.1 206/)
  t.equal(await sha(file('curl')), sha256)
})

withProgram('curl', 'curl downloads, follows HEAD and time conditions', async (t) => {
  const link = await newLink()
  await run('curl', ['-sS', '-f', '-R', '-o', file('whole'), link])
  t.equal(await sha(file('whole')), sha256)
  await copyFile(file('whole'), file('again'))
  const { stdout } = await run('curl', [
    '-sS',
    '-z',
    file('whole'),
    '-w',
    '%{http_code} %{size_download}',
    '-o',
    file('again'),
    link
  ])
  t.equal(stdout, '304 0')
  t.match((await run('curl', ['-sSI', link])).stdout, `content-length: ${content.length}`)
})

withProgram('wget', 'wget -c resumes a half file', async (t) => {
  await halfFile('wget')
  const { stderr } = await run('wget', ['-c', '-S', '-O', file('wget'), await newLink()])
  t.match(stderr, /206 Partial Content/)
  t.equal(await sha(file('wget')), sha256)
})

withProgram('wget', 'wget --content-disposition takes the title for a name', async (t) => {
  await run('wget', ['-q', '--content-disposition', '-P', file('named'), await newLink()])
  t.equal(await sha(join(file('named'), 'A title.wav')), sha256)
})

withProgram('aria2c', 'aria2c -x8 loads eight parts at once', async (t) => {
  const { stdout } = await run('aria2c', [
    '-x8',
    '-s8',
    '-k1M',
    '--file-allocation=none',
    '--no-conf',
    '--allow-overwrite=true',
    '--console-log-level=info',
    '-d',
    server.folder,
    '-o',
    'aria2',
    await newLink()
  ])
  t.match(stdout, /range: bytes=[1-9]/i, 'it asked for parts')
  t.equal((await stat(file('aria2'))).size, content.length)
  t.equal(await sha(file('aria2')), sha256)
})

withProgram('ffprobe', 'ffprobe reads a linked mp4', async (t) => {
  const { id: video } = (await upload(server, instructor)).json<{ id: string }>()
  const { stdout } = await run('ffprobe', [
    '-v',
    'error',
    '-show_entries',
    'format=format_name,duration,size:stream=codec_name',
    '-of',
    'json',
    await newLink(video)
  ])
  const { streams, format } = JSON.parse(stdout) as {
    streams: Array<{ codec_name: string }>
    format: { format_name: string; duration: string; size: string }
  }
  t.same(streams.map((stream) => stream.codec_name).sort(), ['aac', 'h264'])
  t.match(format.format_name, 'mp4')
  t.equal(Number(format.duration).toFixed(1), '2.0')
})

withProgram('curl', 'a client without rights gets a problem document, not bytes', async (t) => {
  const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_code} %{content_type}', `${await newLink()}0`])
  t.match(stdout, /"code":"stream_link_invalid"[^]*\n403 application\/problem\+json/)
})
