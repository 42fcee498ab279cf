import { execFile, spawnSync } from 'node:child_process'
import { createDecipheriv, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { packageFile, type SegmentFacts } from '../../src/protection/hls/packager.js'
import type { StreamDescription } from '../../src/protection/hls/stream-description.js'

const run = promisify(execFile)

/** Why tests that judge by ffmpeg can't run; false if they can. */
export const noFfmpeg =
  spawnSync('ffmpeg', ['-version']).status !== 0 && 'needs the ffmpeg program: apt-get install ffmpeg'

export async function temporaryFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-media-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Makes a media file of ffmpeg arguments. */
export async function make (path: string, ...args: string[]): Promise<string> {
  await run('ffmpeg', ['-nostdin', '-hide_banner', '-loglevel', 'error', '-y', ...args, path])
  return path
}

export const picture = (seconds: number, size = '128x72', rate = 25) => [
  '-f',
  'lavfi',
  '-i',
  `testsrc=size=${size}:rate=${rate}:duration=${seconds}`
]
export const tone = (seconds: number, rate = 44_100) => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=440:sample_rate=${rate}:duration=${seconds}`
]
export const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '64k']

/** What ffmpeg complains about while it decodes all of a file or address. */
export async function decodingErrors (input: string): Promise<string> {
  const { stderr } = await run('ffmpeg', [
    '-nostdin',
    '-hide_banner',
    '-v',
    'error',
    '-xerror',
    '-i',
    input,
    '-map',
    '0',
    '-f',
    'null',
    '-'
  ]).catch((error: { stderr: string; message: string }) => ({ stderr: error.stderr || error.message }))
  return stderr.trim()
}

/** First and last presentation time of a kind of stream, in seconds; undefined if there is none. */
export async function span (
  input: string,
  kind: 'v' | 'a'
): Promise<{ first: number; last: number; packets: number } | undefined> {
  const { stdout } = await run(
    'ffprobe',
    ['-v', 'error', '-select_streams', `${kind}:0`, '-show_entries', 'packet=pts_time', '-of', 'csv=p=0', input],
    { maxBuffer: 256 * 1024 * 1024 }
  )
  const times = stdout
    .split('\n')
    .map((line) => parseFloat(line))
    .filter(Number.isFinite)
  if (times.length === 0) return undefined
  let [first, last] = [Infinity, -Infinity]
  for (const time of times) {
    first = Math.min(first, time)
    last = Math.max(last, time)
  }
  return { first, last, packets: times.length }
}

/** Seconds of a file as ffprobe sees them. */
export async function durationOf (path: string): Promise<number> {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', path])
  return parseFloat(stdout)
}

export interface Packaged {
  key: Buffer
  sealed: Buffer[]
  facts: SegmentFacts[]
  description: StreamDescription
}

/** Packages a file as the server does, and reads what was made. */
export async function packageWhole (path: string, durationMs: number | null = null): Promise<Packaged> {
  const key = randomBytes(16)
  const folder = await mkdtemp(join(tmpdir(), 'playgate-package-'))
  try {
    const target = join(folder, 'package')
    const { segments: facts, description } = await packageFile(
      { path, target, maxBytes: 1e9, maxSegments: 1e6, contentKey: key, durationMs },
      new AbortController().signal,
      () => {}
    )
    const all = await readFile(target)
    let start = 0
    const sealed = facts.map(([size]) => {
      start += size
      return all.subarray(start - size, start)
    })
    if (start !== all.length) throw new Error(`${all.length} bytes, but the index speaks of ${start}`)
    return { key, sealed, facts, description }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The plain segment again (RFC 8216, 5.2: the IV is the sequence number). Throws on a wrong padding. */
export function decrypt (sealed: Buffer, key: Buffer, sequence: number): Buffer {
  const iv = Buffer.alloc(16)
  iv.writeUInt32BE(sequence, 12)
  const decipher = createDecipheriv('aes-128-cbc', key, iv)
  return Buffer.concat([decipher.update(sealed), decipher.final()])
}

/** Decrypts and joins the segments into a file that ffmpeg can read. */
export async function joinedTs (folder: string, { key, sealed }: Packaged, name = 'joined.ts'): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, Buffer.concat(sealed.map((segment, sequence) => decrypt(segment, key, sequence))))
  return path
}

/** Whether bytes look like an MPEG transport stream: a sync byte every 188 (ISO/IEC 13818-1). */
export function looksLikeTs (bytes: Buffer): boolean {
  let synced = 0
  const packets = Math.floor(bytes.length / 188)
  for (let packet = 0; packet < packets; packet++) if (bytes[packet * 188] === 0x47) synced++
  return packets > 0 && synced > Math.max(2, packets / 2)
}

/** Overwrites a stretch of a copy of a file. */
export async function damaged (
  from: string,
  to: string,
  at: (content: Buffer) => number,
  length: number
): Promise<string> {
  const content = await readFile(from)
  const start = at(content)
  randomBytes(length).copy(content, start)
  await writeFile(to, content)
  return to
}
