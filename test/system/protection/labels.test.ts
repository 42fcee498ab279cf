import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { h264, make, noFfmpeg, picture, temporaryFolder, tone } from '../../support/ffmpeg.js'
import { probeStreams } from '../../support/media-facts.js'
import { startPackageServer } from '../../support/package-server.js'
import { fixture } from '../../support/fixtures.js'

const CODES: Record<string, string> = { 'Constrained Baseline': '42', Main: '4d', High: '64' }
const LOW_PROFILE = ['-c:v', 'libx264', '-profile:v', 'baseline', '-pix_fmt', 'yuv420p']

/** Files whose streams are not of the size, codec or rate of their headers. `isCopied`: no ffmpeg is needed. */
interface Kind {
  name: string
  args: string[]
  isCopied?: boolean
  sound?: string
}
const KINDS: Kind[] = [
  { name: 'plain.mp4', args: [...picture(2, '130x74', 30), ...tone(2), ...h264], isCopied: true },
  { name: 'anamorphic.mp4', args: [...picture(2), ...tone(2), '-vf', 'setsar=64/45', ...h264] },
  { name: 'transcoded.avi', args: [...picture(2, '130x74', 24), ...tone(2), '-c:v', 'mpeg4', '-c:a', 'mp3'] },
  { name: 'transcoded.webm', args: [...picture(2, '127x71', 10), ...tone(2), '-c:v', 'libvpx', '-c:a', 'libopus'] },
  {
    name: 'low.mp4',
    args: [...picture(2), ...tone(2, 16_000), ...LOW_PROFILE, '-ac', '1', '-c:a', 'libmp3lame'],
    isCopied: true,
    sound: 'mp4a.40.34'
  }
]

t.test('the label of a stream is read from what was written', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const folder = await temporaryFolder(t)
  const server = await startPackageServer(t, true)
  const without = await startPackageServer(t, false)
  const rotated = { name: 'rotated.mp4', file: await fixture('cases/rot90.mp4'), isCopied: false, sound: undefined }
  const made = await Promise.all(
    KINDS.map(async ({ args, ...kind }) => {
      const path = await make(join(folder, kind.name), ...args)
      return { ...kind, file: await readFile(path) }
    })
  )
  for (const { name, file, isCopied, sound = 'mp4a.40.2' } of [rotated, ...made]) {
    await t.test(name, async (t) => {
      const stream = await server.stream(file, 'video')
      if (!('path' in stream)) return t.fail(stream.code)
      const video = (await probeStreams(stream.path)).find(({ codec_type: type }) => type === 'video')!
      const level = video.level!.toString(16).padStart(2, '0')
      t.match(stream.master, new RegExp(`CODECS="avc1\\.${CODES[video.profile!]}..${level},${sound}"`))
      t.match(stream.master, `,RESOLUTION=${video.width}x${video.height},`)
      const [pictures, seconds] = video.avg_frame_rate!.split('/').map(Number) as [number, number]
      const rate = Number(/FRAME-RATE=([\d.]+)\n/.exec(stream.master)?.[1])
      t.ok(Math.abs(rate - pictures / seconds) < 0.1, `${rate} pictures a second are ${video.avg_frame_rate}`)
      t.match((await without.stream(file, 'video')).code, isCopied ? 'ready' : /^source_/)
    })
  }
})

t.test('pixels that only the sequence parameters stretch are found (bug: they were squeezed, or the job failed)', {
  skip: noFfmpeg
}, async (t) => {
  const folder = await temporaryFolder(t)
  const path = await make(join(folder, 'sar.mp4'), ...picture(2, '160x90'), ...tone(2), '-vf', 'setsar=4/3', ...h264)
  const file = await readFile(path)
  // Without its `pasp` box, the container does not name the aspect of its pixels.
  file.write('free', file.indexOf('pasp'), 'latin1')
  t.equal((await (await startPackageServer(t, false)).stream(file, 'video')).code, 'source_stretched')
  const stream = await (await startPackageServer(t, true)).stream(file, 'video')
  if (!('path' in stream)) return t.fail(stream.code)
  t.match(stream.master, ',RESOLUTION=212x90,')
})
