import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from '../app.js'
import { loadConfig } from '../config/config.js'
import type { Prober } from '../media/probe/probe.js'
import { wavHeader } from './wav-header.js'

/** V8 compiles a function at its first call, and learns its types at the next calls. */
const ROUNDS = 3
const PASSWORD = 'a password of nobody'
const BOUNDARY = 'rehearsal'

/**
 * Sends the first requests of usual clients to a second server in this process. V8 then compiles their code before the
 * first client connects. The second server has its own database in a temporary folder. Its requests leave no row, view,
 * log line, metric or used limit.
 */
export async function rehearse (prober: Prober): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-rehearsal-'))
  try {
    const app = await buildApp(configFor(folder), {
      warmUp: false,
      isRehearsal: true,
      ffmpeg: false,
      prober: { ...prober, endWithin: () => {}, close: () => {} },
      // Passwords are hashed in other threads, which have their own warm-up.
      hashWorkers: { threads: 1, run: async (task) => ('hash' in task ? true : 'no hash'), close: async () => {} }
    })
    try {
      await makeCalls(app)
    } finally {
      await app.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function configFor (folder: string) {
  return loadConfig({
    ENVIRONMENT: 'test',
    DATA_DIR: folder,
    UPLOAD_DIR: join(folder, 'uploads'),
    LOG_LEVEL: 'silent'
  })
}

type App = Awaited<ReturnType<typeof buildApp>>

async function makeCalls (app: App): Promise<void> {
  const credentials = { email: 'rehearsal@example.org', password: PASSWORD }
  const post = async <T>(url: string, payload: object | Buffer, headers: Record<string, string> = {}) => {
    const reply = await app.inject({ method: 'POST', url, payload, headers })
    if (reply.statusCode >= 300) throw new Error(`POST ${url} was refused: ${reply.body}`)
    return reply.json<T>()
  }
  await post('/auth/signup', credentials)
  const { token } = await post<{ token: string }>('/auth/login', credentials)
  const headers = { authorization: `Bearer ${token}` }
  const { id } = await post<{ id: string }>('/media', uploadForm(), {
    ...headers,
    'content-type': `multipart/form-data; boundary=${BOUNDARY}`
  })
  for (let round = 0; round < ROUNDS; round++) {
    const link = await app.inject({ url: `/media/${id}/stream-url`, headers })
    const { pathname, search } = new URL(link.json<{ stream_url: string }>().stream_url)
    await app.inject({ url: pathname + search })
    await post(`/media/${id}/view`, {}, headers)
  }
}

function uploadForm (): Buffer {
  const field = (name: string, value: string) =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const file = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n`
  return Buffer.concat([
    Buffer.from(field('title', 'Rehearsal') + field('type', 'audio') + file),
    silence(),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  ])
}

/** Returns a WAV file of 0.1 s. */
function silence (): Buffer {
  const format = { bytes: 800, channels: 1, samplesPerSecond: 8000, bitsPerSample: 8 }
  return Buffer.concat([wavHeader(format), Buffer.alloc(format.bytes, 0x80)])
}
