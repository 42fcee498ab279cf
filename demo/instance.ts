import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { call, DemoFailure } from './client.js'

const KiB = 1024
const START_MS = 30_000
const STOP_MS = 5000
/**
 * The only environment variables that the child process inherits. The demo must not use the database or the secret of a
 * real server.
 */
const PASSED_ON = ['PATH', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot']

/** A real server in its own process and folder. */
export interface Instance {
  origin: string
  pid: number
  folder: string
  /**
   * Returns the peak resident memory, in bytes. If the system does not record it, returns the largest measured value.
   */
  peakMemory(): Promise<{ bytes: number; source: string }>
  /**
   * Ends the process, waits for its end, and removes the folder. It may be called several times, and during the start.
   */
  remove(): Promise<void>
}

/**
 * Creates the folder and starts the server. `extra` are additional environment variables. `onMade` receives `remove`
 * first, so that a start can be interrupted.
 */
export async function startInstance (
  maxUploadBytes: number,
  extra: Record<string, string>,
  onMade: (remove: Instance['remove']) => void
): Promise<Instance> {
  // The code up to `onMade` is synchronous, so a signal never finds a folder without its `remove`.
  const folder = mkdtempSync(join(tmpdir(), 'playgate-demo-'))
  // The folder is also the working directory, so the `.env` of a real server is not read.
  const server = spawn(process.execPath, [fileURLToPath(new URL('../bundle/server.js', import.meta.url))], {
    cwd: folder,
    env: { ...environment(folder, maxUploadBytes), ...extra },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = new Promise<void>((resolve) => {
    server.once('close', () => resolve()).once('error', () => resolve())
  })
  let removed: Promise<void> | undefined
  const remove = async () => {
    removed ??= stop(server, ended).then(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
    await removed
  }
  onMade(remove)
  const origin = await addressOf(server)
  let seen = 0
  return {
    origin,
    pid: server.pid!,
    folder,
    remove,
    async peakMemory () {
      const peak = await kernelPeak(server.pid!)
      if (peak !== undefined) return { bytes: peak, source: 'VmHWM of the kernel' }
      seen = Math.max(seen, await residentMemory(origin))
      return { bytes: seen, source: '/metrics, looked at after each step' }
    }
  }
}

function environment (folder: string, maxUploadBytes: number): Record<string, string> {
  const passed = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]!]]))
  return {
    ...(Object.fromEntries(passed) as Record<string, string>),
    HOST: '127.0.0.1',
    PORT: '0',
    PROCESSES: '1',
    DATA_DIR: join(folder, 'data'),
    UPLOAD_DIR: join(folder, 'uploads'),
    LOG_LEVEL: 'warn',
    MAX_UPLOAD_BYTES: String(Math.max(1, maxUploadBytes)),
    QUOTA_BYTES: String(Math.max(1, maxUploadBytes)),
    RATE_LIMIT_VIEW_PER_MINUTE: '1000',
    SHUTDOWN_GRACE_SECONDS: '1'
  }
}

/**
 * Returns the origin in the line that the server prints. Both outputs are read until their end, because a full pipe
 * would block the server.
 */
async function addressOf (server: ChildProcess): Promise<string> {
  let output = ''
  return await new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new DemoFailure(`the server did not start: ${why}`))
    const timer = setTimeout(fail, START_MS, `no address within ${START_MS / 1000} seconds`)
    const read = (text: string) => {
      output = (output + text).slice(-10 * KiB)
      const origin = /listens on (http:\/\/[^\s,]+)/.exec(output)?.[1]
      if (origin === undefined) return
      clearTimeout(timer)
      resolve(origin)
    }
    server.stdout!.setEncoding('utf8').on('data', read)
    server.stderr!.setEncoding('utf8').on('data', read)
    server.once('error', ({ message }) => fail(message))
    server.once('close', () => {
      clearTimeout(timer)
      fail(output.trim() || 'it ended at once')
    })
  })
}

async function stop (server: ChildProcess, ended: Promise<void>): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) server.kill('SIGTERM')
  const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(timer)
}

/** Returns the peak resident set size on Linux (proc_pid_status(5)), in bytes. Undefined on other systems. */
async function kernelPeak (pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * KiB
}

async function residentMemory (origin: string): Promise<number> {
  const { bytes } = await call(`${origin}/metrics`)
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(bytes.toString())?.[1] ?? 0)
}
