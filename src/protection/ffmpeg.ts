import { spawn, spawnSync } from 'node:child_process'
import { PassThrough, type Readable } from 'node:stream'
import { FileFault } from './file-fault.js'

let found: boolean | undefined

/** Whether this machine has ffmpeg; looked up once. */
export function hasFfmpeg (): boolean {
  found ??= spawnSync('ffmpeg', ['-version'], { stdio: 'ignore' }).status === 0
  return found
}

/** H.264 and AAC of a file in Matroska; what is in these codecs already is copied. Key frames come often enough for segments. */
export function transcode (path: string, codecs: string[], limitMs: number): Readable {
  return run([
    '-i', path, '-map', '0:v:0?', '-map', '0:a:0?',
    ...(codecs.includes('h264') ? ['-c:v', 'copy'] : ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-vf', 'scale=trunc(iw/2)*2:trunc(ih/2)*2', '-force_key_frames', 'expr:gte(t,n_forced*6)']),
    ...(codecs.includes('aac') ? ['-c:a', 'copy'] : ['-c:a', 'aac', '-ac', '2']),
    '-f', 'matroska', 'pipe:1'
  ], limitMs)
}

/** One picture of a video as JPEG, from `atSeconds`, at most 1280 wide. */
export function takePicture (path: string, atSeconds: number, limitMs: number): Readable {
  return run(['-ss', String(atSeconds), '-i', path, '-map', '0:v:0', '-frames:v', '1', '-vf', "scale='min(1280,iw)':-2", '-c:v', 'mjpeg', '-q:v', '4', '-f', 'image2pipe', 'pipe:1'], limitMs)
}

/** What ffmpeg writes; fails with a {@link FileFault} if ffmpeg can't make sense of the file, or takes too long. Files alone may be opened: a hostile one could name addresses. Destroying it ends ffmpeg. */
function run (args: string[], limitMs: number): Readable {
  const child = spawn('ffmpeg', ['-nostdin', '-v', 'error', '-protocol_whitelist', 'file,pipe', ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs, killSignal: 'SIGKILL' })
  const output = new PassThrough()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { if (said.length < 2000) said += text })
  child.stdout.pipe(output, { end: false })
  child.on('error', (error) => output.destroy(error))
  child.on('close', (code) => { if (code === 0) output.end(); else output.destroy(new FileFault('damaged', said)) })
  output.on('close', () => child.kill('SIGKILL'))
  return output
}
