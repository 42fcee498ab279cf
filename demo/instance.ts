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
 * What a child process needs of our environment, and nothing else: the demo must not meet the database or the secret of
 * a real server.
 */
const PASSED_ON = ['PATH', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot']

/** A real server in a process and a folder of its own. */
export interface Instance {
  origin: string
  pid: number
  folder: string
  /**
   * The greatest resident memory so far, in bytes; where the system keeps no such figure, the greatest that was looked
   * at.
   */
  peakMemory(): Promise<{ bytes: number; source: string }>
  /**
   * Ends the process, waits until it has gone, and removes the folder. May be called more than once, and during the
   * start.
   */
  remove(): Promise<void>
}

/**
 * Makes the folder and starts the server; `extra` are variables beside the demo's own. `remove` is handed out first, so
 * that a start can be broken off.
 */
export async function startInstance (
  maxUploadBytes: number,
  extra: Record<string, string>,
  onMade: (remove: Instance['remove']) => void
): Promise<Instance> {
  // Synchronous up to `onMade`: a signal finds either nothing made or something to remove.
  const folder = mkdtempSync(join(tmpdir(), 'playgate-demo-'))
  // The folder is also its working folder: a `.env` of the real server is not read.
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
 * The origin in the one line that the server prints. Both outputs go on being read: a full pipe would halt the server.
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

/** Peak resident set size as Linux keeps it (proc_pid_status(5)), in bytes; undefined elsewhere. */
async function kernelPeak (pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * KiB
}

async function residentMemory (origin: string): Promise<number> {
  const { bytes } = await call(`${origin}/metrics`)
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(bytes.toString())?.[1] ?? 0)
}
