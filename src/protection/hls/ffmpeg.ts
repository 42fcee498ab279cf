import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { PassThrough, type Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { promisify } from 'node:util'
import { KiB, MiB } from '../../bytes.js'
import { MINUTE, SECOND } from '../../time.js'
import { FileFault, type FileFaultKind } from './file-fault.js'
import type { TranscodePlan } from './transcode-plan.js'

/**
 * 8192 × 4320, the largest picture of ITU-R BT.2020. A file of 564 KB may declare 16000 × 12000 and need 1.4 GB for
 * decoding.
 */
const MAX_PIXELS = 8192 * 4320
/** Limits of one ffmpeg process, in bytes: its address space, and its private data. */
interface MemoryLimit {
  addressSpace: number
  data?: number
}
/**
 * Measured: one picture of 8K H.264 on one thread allocates less than 254 MiB, in 600 MB of address space. A picture of
 * that size with 16 bits a channel needs 283 MB before it is scaled, and is refused.
 */
const PICTURE_MEMORY: MemoryLimit = { addressSpace: 768 * MiB, data: 272 * MiB }
/** Measured: a transcode of 4K to 4K with x264 stays below 2 GB. */
const TRANSCODE_MEMORY: MemoryLimit = { addressSpace: 3 * 1024 * MiB }
const PICTURE_LIMIT_MS = MINUTE
/** `ffmpeg -version` takes 0.05 s; a hanging program must not delay the start. */
const VERSION_LIMIT_MS = 10 * SECOND
/** Error codes of a system without free resources. ffmpeg may be installed. */
const OUT_OF_RESOURCES = new Set<string | undefined>(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'])
/** Exit codes of a POSIX shell that could not run a program. */
const CANNOT_EXECUTE = 126
const NOT_FOUND = 127
/** Only the last characters of ffmpeg's output are kept. They contain the reason of a failure. */
const MAX_MESSAGE_CHARACTERS = 2000

const OUT_OF_MEMORY = /cannot allocate memory|memory exhausted/i
/** What ffmpeg writes about a file that is not damaged. */
const FAILURES: Array<[FileFaultKind, RegExp]> = [
  ['unsupported', /decoder .*not found|unknown decoder|could not find codec parameters|unsupported codec/i],
  ['empty', /matches no streams|does not contain any stream/i]
]

interface Limits {
  limitMs: number
  memory: MemoryLimit
  cpuSeconds: number | undefined
}

/** Options that tests set. */
interface Options {
  /** Maximum time for one picture. */
  pictureLimitMs?: number
  /** CPU time of one process. The default is two seconds for each second of its time limit. */
  cpuSeconds?: number
}

/**
 * Runs the ffmpeg of a search path, which has the form of `PATH`. A stream fails with a {@link FileFault} if ffmpeg
 * cannot read the file, or exceeds its time or memory. It fails with another error if ffmpeg cannot be started.
 * Destroying a stream kills ffmpeg.
 */
export class Ffmpeg {
  readonly #searchPath: string
  readonly #pictureLimitMs: number
  readonly #cpuSeconds: number | undefined
  #version: Promise<string | undefined> | undefined

  constructor (searchPath: string, { pictureLimitMs = PICTURE_LIMIT_MS, cpuSeconds }: Options = {}) {
    this.#searchPath = searchPath
    this.#pictureLimitMs = pictureLimitMs
    this.#cpuSeconds = cpuSeconds
  }

  /**
   * Returns the first line of `ffmpeg -version`. Undefined if ffmpeg is missing or does not run. The result is cached.
   * **Throws** the error of a system without free resources (`EMFILE`).
   */
  async version (): Promise<string | undefined> {
    this.#version ??= findVersion(this.#searchPath)
    try {
      return await this.#version
    } catch (error) {
      this.#version = undefined
      throw error
    }
  }

  /**
   * Returns H.264 and AAC in Matroska by a plan: pictures as they are shown, what an edit list shows, and square
   * pixels. A key frame at least every 6 seconds.
   */
  transcode (path: string, plan: TranscodePlan, limitMs: number): Readable {
    const limits = { limitMs, memory: TRANSCODE_MEMORY, cpuSeconds: this.#cpuSeconds }
    return run(this.#searchPath, transcodeArguments(path, plan), limits)
  }

  /** Returns one JPEG picture of a video, `atSeconds` from its start, at most 1280 pixels wide. */
  takePicture (path: string, atSeconds: number): Readable {
    const limits = { limitMs: this.#pictureLimitMs, memory: PICTURE_MEMORY, cpuSeconds: this.#cpuSeconds }
    return run(this.#searchPath, pictureArguments(path, atSeconds), limits)
  }
}

async function findVersion (searchPath: string): Promise<string | undefined> {
  const options = { env: { PATH: searchPath }, timeout: VERSION_LIMIT_MS, killSignal: 'SIGKILL' as const }
  try {
    const { stdout } = await promisify(execFile)('ffmpeg', ['-version'], options)
    return stdout.startsWith('ffmpeg version') ? stdout.split('\n')[0] : undefined
  } catch (error) {
    if (OUT_OF_RESOURCES.has((error as NodeJS.ErrnoException).code)) throw error
    return undefined
  }
}

/** Returns whether the pictures of a video are too large to decode. */
export function exceedsPixels ({ width, height }: { width: number | null; height: number | null }): boolean {
  return (width ?? 0) * (height ?? 0) > MAX_PIXELS
}

function transcodeArguments (path: string, { video, audio }: TranscodePlan): string[] {
  return [
    '-max_pixels',
    String(MAX_PIXELS),
    '-i',
    path,
    ...(video === undefined ? [] : ['-map', video.index === undefined ? '0:V:0?' : `0:v:${video.index}`]),
    ...(audio === undefined ? [] : ['-map', `0:a:${audio.index ?? '0?'}`]),
    ...videoArguments(video?.copy === true),
    ...(audio?.copy === true ? ['-c:a', 'copy'] : ['-c:a', 'aac', '-ac', '2']),
    '-f',
    'matroska',
    'pipe:1'
  ]
}

/** As a player shows it, in square pixels and even sides. `sar` is 1 if it is unknown. */
const POSTER_SIZE = 'scale=trunc(min(1280\\,iw*max(sar\\,1))/2)*2:max(2\\,round(ow/dar/2)*2),setsar=1'

/** Takes a picture that is no cover. Uses one thread, because each further thread holds its own pictures in memory. */
function pictureArguments (path: string, atSeconds: number): string[] {
  const input = ['-threads', '1', '-max_pixels', String(MAX_PIXELS), '-ss', String(atSeconds), '-i', path]
  const picture = ['-map', '0:V:0', '-frames:v', '1', '-vf', POSTER_SIZE]
  return [...input, ...picture, '-threads', '1', '-c:v', 'mjpeg', '-q:v', '4', '-f', 'image2pipe', 'pipe:1']
}

/** Pixels that are not square are stretched in the direction that loses none. */
const SQUARE_PIXELS = [
  'scale=trunc(iw*max(sar\\,1)/2)*2:trunc(ih*max(1/sar\\,1)/2)*2',
  // A sample aspect ratio that is unknown counts as 1.
  'setsar=1'
].join(',')

function videoArguments (copy: boolean): string[] {
  if (copy) return ['-c:v', 'copy']
  const encoder = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p']
  return [...encoder, '-vf', SQUARE_PIXELS, '-force_key_frames', 'expr:gte(t,n_forced*6)']
}

/**
 * Starts ffmpeg in its own process group, with only `PATH` in its environment. The `ulimit` of the shell (POSIX) limits
 * memory and CPU. If a system refuses one limit, the other limits apply. ffmpeg may open only files, because a hostile
 * file could contain URLs.
 */
function run (
  searchPath: string,
  args: string[],
  { limitMs, memory, cpuSeconds = 2 * Math.ceil(limitMs / SECOND) }: Limits
): Readable {
  const limits = [
    `ulimit -v ${memory.addressSpace / KiB}`,
    ...(memory.data === undefined ? [] : [`ulimit -d ${memory.data / KiB}`]),
    `ulimit -t ${cpuSeconds}`,
    'ulimit -c 0'
  ]
  const bounded = `${limits.join('; ')}; exec ffmpeg "$@"`
  const child = spawn(
    '/bin/sh',
    ['-c', bounded, 'sh', '-nostdin', '-v', 'error', '-protocol_whitelist', 'file,pipe', ...args],
    {
      env: { PATH: searchPath },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe']
    }
  )
  return outputOf(child, limitMs)
}

/** Returns the output of a program that leads its process group. The output ends after an exit with code 0. */
function outputOf (child: ChildProcess, limitMs: number): Readable {
  const output = new PassThrough()
  // A program may fail before its output is read. The reader gets the error when it starts.
  finished(output).catch(() => {})
  child.on('error', (error) => output.destroy(error))
  const { stdout, stderr } = child
  // Without a free file descriptor, both streams are undefined, and an `error` event follows.
  if (!stdout || !stderr) return output
  let message = ''
  stderr.setEncoding('utf8').on('data', (text: string) => {
    message = (message + text).slice(-MAX_MESSAGE_CHARACTERS)
  })
  stdout.on('error', (error) => output.destroy(error)).pipe(output, { end: false })
  const late = setTimeout(
    () => output.destroy(new FileFault('excessive', `no end within ${limitMs / SECOND} s`)),
    limitMs
  )
  // Grandchildren that survive the program would keep its output open.
  child.on('exit', () => killGroup(child))
  child.on('close', (code, signal) => {
    if (code === 0) output.end()
    else output.destroy(failure(code, signal, message.trim()))
  })
  output.on('close', () => {
    clearTimeout(late)
    stdout.destroy()
    if (child.exitCode === null && child.signalCode === null) killGroup(child)
  })
  return output
}

function failure (code: number | null, signal: NodeJS.Signals | null, message: string): Error {
  const reason = message || `ended with ${signal ?? code}`
  if (code === CANNOT_EXECUTE || code === NOT_FOUND) return new Error(`ffmpeg could not be started: ${reason}`)
  return new FileFault(kindOf(signal, reason), reason)
}

function kindOf (signal: NodeJS.Signals | null, reason: string): FileFaultKind {
  // Linux ends a process with either signal at its limit of CPU time, and with SIGKILL if memory runs out.
  if (signal === 'SIGXCPU' || signal === 'SIGKILL' || OUT_OF_MEMORY.test(reason)) return 'excessive'
  return FAILURES.find(([, text]) => text.test(reason))?.[0] ?? 'damaged'
}

/** Kills the process group of a program. A group that no longer exists is ignored. */
function killGroup ({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {}
}
