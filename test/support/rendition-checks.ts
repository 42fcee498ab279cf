import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const BUFFER = { maxBuffer: 256 * 1024 * 1024 }
const ffmpeg = ['-nostdin', '-hide_banner', '-v', 'info', '-nostats']

/** The streams of a file as ffprobe describes them. */
export async function streamsOf (path: string): Promise<Array<Record<string, unknown>>> {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_streams', '-of', 'json', path])
  return (JSON.parse(stdout) as { streams: Array<Record<string, unknown>> }).streams
}

/** The second at which the first white picture is shown; undefined if there is none. */
export async function flashSecond (path: string): Promise<number | undefined> {
  const filter = 'scale=16:16,format=gray,showinfo'
  const { stderr } = await run('ffmpeg', [...ffmpeg, '-i', path, '-an', '-vf', filter, '-f', 'null', '-'], BUFFER)
  for (const line of stderr.split('\n')) {
    const [, time, mean] = /pts_time:([\d.-]+).*mean:\[(\d+)/.exec(line) ?? []
    if (Number(mean) > 200) return Number(time)
  }
  return undefined
}

/** The second at which the first sound is heard; undefined if there is none. */
export async function toneSecond (path: string): Promise<number | undefined> {
  const args = ['-i', path, '-vn', '-af', 'aresample=48000:async=1:first_pts=0', '-ac', '1', '-f', 's16le', '-']
  const { stdout } = await run('ffmpeg', [...ffmpeg, ...args], { ...BUFFER, encoding: 'buffer' })
  for (let at = 0; at + 1 < stdout.length; at += 2) {
    if (Math.abs(stdout.readInt16LE(at)) > 1000) return at / 2 / 48_000
  }
  return undefined
}

/**
 * The structural similarity (SSIM) of the pictures of a rendition and of its source, upright and scaled to its size; 1
 * for equal pictures.
 */
export async function similarity (source: string, made: string, reference = ''): Promise<number> {
  const [video] = (await streamsOf(made)).filter((stream) => stream.codec_type === 'video')
  const scaled = `scale=${video!.width}:${video!.height}:flags=bicubic,setsar=1,format=yuv420p`
  const graph = `[0:v]${reference}${scaled},setpts=PTS-STARTPTS[a];[1:v]setpts=PTS-STARTPTS[b];[b][a]ssim`
  const args = ['-i', source, '-i', made, '-lavfi', graph, '-f', 'null', '-']
  const { stderr } = await run('ffmpeg', [...ffmpeg, ...args], BUFFER)
  return Number(/SSIM .*All:([\d.]+)/.exec(stderr)?.[1])
}

/** The seconds of the key frames of a file. */
export async function keyFrameSeconds (path: string): Promise<number[]> {
  const fields = ['-show_entries', 'packet=pts_time,flags', '-of', 'csv=p=0']
  const { stdout } = await run('ffprobe', ['-v', 'error', '-select_streams', 'v:0', ...fields, path])
  return stdout
    .split('\n')
    .filter((line) => line.includes('K'))
    .map((line) => parseFloat(line))
}

/** Whether the index of an MP4 stands before its pictures and sound, so that a player starts at once. */
export function startsFast (content: Buffer): boolean {
  const [index, data] = [content.indexOf('moov'), content.indexOf('mdat')]
  return index > 0 && index < data
}
