import { randomBytes } from 'node:crypto'
import { call } from '../test/support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../test/support/client.js'
import type { CleanUp } from './bench.js'
import { benchEnvironment } from './environment.js'
import { runLoad } from './load.js'
import { startPlaygate, type Program } from './processes.js'
import { wavHeader } from '../src/process/wav-header.js'

export const MiB = 1024 * 1024

/** A server on SQLite with one account, and the paths of its files. */
export interface BenchServer extends Program {
  token: string
  uploads: string
  database: string
  env: Record<string, string>
}

/** Starts a server without rate limits. `wrap` is a command that starts the server, such as strace. */
export async function startBenchServer (
  t: CleanUp,
  more: Record<string, string> = {},
  wrap: string[] = []
): Promise<BenchServer> {
  const env = await benchEnvironment(t, undefined, more)
  const program = await startPlaygate(t, env, wrap)
  return {
    ...program,
    token: await newToken(program.origin, 'owner@example.org'),
    uploads: env.UPLOAD_DIR!,
    database: env.DATABASE_URL!.slice('sqlite:'.length),
    env
  }
}

/** Creates a public media with an external URL. Returns its id. */
export const linkedMedia = ({ origin, token }: BenchServer): Promise<string> =>
  newLinkedMedia(overHttp(origin), callerOf(token))

/** The header of a WAV file of 16-bit stereo with `bytes` of samples: an upload must begin with it. */
export function wavHead (bytes: number): Buffer {
  return wavHeader({ bytes, channels: 2, samplesPerSecond: 44_100, bitsPerSample: 16 })
}

/** How a body of this many bytes of sound is put: the parts of a {@link runLoad} job. */
export function rawBody (
  path: string,
  token: string | undefined,
  bytes: number
): { head: string; prefix: string; bytes: number; suffix: string } {
  const prefix = wavHead(bytes).toString('latin1')
  const authorization = token === undefined ? '' : `authorization: Bearer ${token}\r\n`
  return {
    head:
      `PUT ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${authorization}content-type: audio/wav\r\ncontent-length: ` +
      `${prefix.length + bytes}\r\n\r\n`,
    prefix,
    bytes,
    suffix: ''
  }
}

/** The same in a multipart form. */
export function formBody (
  token: string,
  bytes: number
): { head: string; prefix: string; bytes: number; suffix: string } {
  const boundary = `bench${randomBytes(12).toString('hex')}`
  const field = (name: string, value: string) =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const prefix =
    `${field('title', 'Noise')}${field('type', 'audio')}--${boundary}\r\ncontent-disposition: ` +
    'form-data; name="file"; filename="noise.wav"\r\ncontent-type: ' +
    `audio/wav\r\n\r\n${wavHead(bytes).toString('latin1')}`
  const suffix = `\r\n--${boundary}--\r\n`
  return {
    head:
      `POST /media HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\ncontent-type: ` +
      `multipart/form-data; boundary=${boundary}\r\ncontent-length: ${prefix.length + bytes + suffix.length}\r\n\r\n`,
    prefix,
    bytes,
    suffix
  }
}

/** Uploads this many bytes of noise; returns the id of the media. */
export async function uploadNoise ({ origin, token }: BenchServer, bytes: number): Promise<string> {
  const { last } = await runLoad({
    kind: 'upload',
    origin,
    ...rawBody('/media/uploads?title=Noise&type=audio', token, bytes),
    expect: 201
  })
  return (JSON.parse(last) as { id: string }).id
}

/** Path and query of a fresh link. */
export async function newLink ({ origin, token }: BenchServer, id: string): Promise<string> {
  const { pathname, search } = new URL(
    (await call(origin, `/media/${id}/stream-url?expires_in=86400`, { token })).body.stream_url as string
  )
  return pathname + search
}
