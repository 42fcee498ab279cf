import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { describeSegment } from '../../../src/protection/hls/describe-segment.js'
import { StreamDescriber } from '../../../src/protection/hls/stream-description.js'
import { TransportStream, type Frame, type Program } from '../../../src/protection/hls/transport-stream.js'
import { h264, make, noFfmpeg, packageWhole, picture, temporaryFolder, tone } from '../../support/ffmpeg.js'

const run = promisify(execFile)

/** Profile and level as ffprobe reads them. */
async function avcOf (path: string): Promise<{ profile: string; level: number }> {
  const entries = ['-select_streams', 'v:0', '-show_entries', 'stream=profile,level', '-of', 'json']
  const { stdout } = await run('ffprobe', ['-v', 'error', ...entries, path])
  return (JSON.parse(stdout) as { streams: [{ profile: string; level: number }] }).streams[0]
}

const PROFILES: Record<string, string> = { 'Constrained Baseline': '42', Main: '4d', High: '64' }
const x264 = (...args: string[]) => ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-g', '50', ...args, '-c:a', 'aac']
const halvedAfter2s = ['-vf', "select='lt(t,2)+not(mod(n,2))'", '-fps_mode', 'vfr']

t.test('codecs and the highest frame rate are read from what was written', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  const films: Array<[name: string, rate: number, args: string[]]> = [
    ['baseline.mp4', 24, [...picture(4, '128x72', 24), ...x264('-preset', 'ultrafast')]],
    ['main.mov', 25, [...picture(8), ...tone(8), ...x264('-profile:v', 'main', '-bf', '3')]],
    ['ntsc.mkv', 29.97, ['-f', 'lavfi', '-i', 'testsrc=size=128x72:rate=30000/1001:duration=8', ...x264('-bf', '2')]],
    ['high.mp4', 60, [...picture(4, '1280x720', 60), ...x264('-preset', 'veryfast', '-level', '4.2')]],
    ['variable.mp4', 50, [...picture(4, '128x72', 50), ...halvedAfter2s, ...x264()]]
  ]
  for (const [name, rate, args] of films) {
    const path = await make(join(folder, name), ...args)
    const made = await packageWhole(path)
    const { profile, level } = await avcOf(path)
    const video = new RegExp(`^avc1\\.${PROFILES[profile]}[0-9a-f]{2}${level.toString(16).padStart(2, '0')}`)
    t.match(made.description.codecs, video, name)
    t.equal(made.description.codecs.split(',')[1], name === 'main.mov' ? 'mp4a.40.2' : undefined, name)
    t.ok(Math.abs(made.description.frameRate! - rate) < 0.01 * rate, `${name}: ${made.description.frameRate}`)
    await writeFile(join(folder, 'package'), Buffer.concat(made.sealed))
    const first = await describeSegment(join(folder, 'package'), made.facts[0]![0], made.key)
    t.equal(first.codecs, made.description.codecs, `${name}: by its first segment`)
  }
  for (const [name, codec] of Object.entries({ 'a.m4a': 'mp4a.40.2', 'a.mp3': 'mp4a.40.34', 'a.aac': 'mp4a.40.2' })) {
    const { description } = await packageWhole(await make(join(folder, name), ...tone(2)))
    t.same(description, { codecs: codec, frameRate: null, size: null }, name)
  }
  const ntsc = ['-f', 'lavfi', '-i', 'testsrc=size=128x72:rate=30000/1001:duration=3', ...h264]
  t.equal((await packageWhole(await make(join(folder, 'ntsc.mp4'), ...ntsc))).description.frameRate, 29.97)
})

const SPS = Buffer.from('00000001' + '09f0' + '00000001' + '67640028', 'hex')
const ADTS = Buffer.from('fff15080001ffc00', 'hex')

/** Describes a stream that is handed over in parts of some bytes. */
function described (program: Program, frames: Frame[], partBytes: number) {
  const chunks: Buffer[] = []
  const stream = new TransportStream(program, 7, (chunk) => chunks.push(Buffer.from(chunk)))
  stream.writeTables()
  for (const frame of frames) stream.writeFrame(frame)
  stream.flush()
  const describer = new StreamDescriber()
  const all = Buffer.concat(chunks)
  for (let at = 0; at < all.length; at += partBytes) describer.write(all.subarray(at, at + partBytes))
  return describer.describe()
}

const frame = (kind: 'video' | 'audio', data: Buffer, pts: number): Frame => ({
  kind,
  pieces: [data],
  pts,
  dts: undefined,
  key: kind === 'video'
})

t.test('parts may end anywhere, and times may wrap', async (t) => {
  const start = 2 ** 33 - 45_000
  const pictures = Array.from({ length: 101 }, (_, number) => frame('video', SPS, start + 3600 * number))
  const frames = [frame('audio', ADTS, start), ...pictures]
  for (const partBytes of [1, 187, 188, 189, 1e6]) {
    const said = described({ video: 'h264', audio: 'aac' }, frames, partBytes)
    t.same(said, { codecs: 'avc1.640028,mp4a.40.2', frameRate: 25, size: null })
  }
})

t.test('where one codec cannot be named none is: a player would take the stream for sound only', async (t) => {
  const both: Program = { video: 'h264', audio: 'aac' }
  const sound = frame('audio', ADTS, 900_000)
  const badLevel = Buffer.from(SPS)
  badLevel[badLevel.length - 1] = 99
  const rest = Buffer.alloc(5000, 0x55)
  t.same(described(both, [sound], 188), { codecs: '', frameRate: null, size: null }, 'no picture')
  for (const data of [badLevel, rest, SPS.subarray(0, -1)]) {
    t.equal(described(both, [sound, frame('video', data, 900_000)], 188).codecs, '')
  }
  t.equal(described(both, [frame('video', SPS, 900_000), frame('audio', rest, 900_000)], 188).codecs, '')
  const late = [sound, frame('video', rest, 900_000), frame('video', SPS, 903_600)]
  t.equal(described(both, late, 188).codecs, 'avc1.640028,mp4a.40.2', 'by a later picture')
})
