import { spawn, type ChildProcess } from 'node:child_process'
import { setPriority } from 'node:os'
import { KiB } from '../bytes.js'
import { SECOND } from '../time.js'

/**
 * Limits of one process. `addressSpaceBytes` is undefined for hardware encoders, which map the memory of the device.
 */
export interface ProgramLimits {
  limitMs: number
  cpuSeconds: number
  addressSpaceBytes: number | undefined
  /** The largest file that it may write. */
  fileBytes: number
}

export interface ProgramRun {
  /** The `PATH` in which the program is searched. */
  searchPath: string
  limits: ProgramLimits
  signal: AbortSignal
  /** Called for each line of its output, which is then not returned. */
  onLine?: (line: string) => void
}

/** How a program failed. `missing`: it could not be started. `killed`: by the system or by a person. */
export type ProgramFaultKind = 'missing' | 'killed' | 'late' | 'inflated' | 'memory' | 'disk' | 'failed'

export class ProgramFault extends Error {
  readonly kind: ProgramFaultKind
  constructor (kind: ProgramFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}

const MAX_OUTPUT_CHARACTERS = 1024 * 1024
/** Only the last characters of the errors are kept. They contain the reason of a failure. */
const MAX_ERROR_CHARACTERS = 2000
/** Requests are more urgent. 10 of 19. */
const NICENESS = 10
/** `ulimit -f` counts blocks of 512 bytes (POSIX). */
const BLOCK_BYTES = 512
/** Exit codes of a POSIX shell that could not run a program. */
const CANNOT_EXECUTE = 126
const NOT_FOUND = 127

/**
 * Runs a program in its own process group, at low priority, with only `PATH` in its environment. The `ulimit` of the
 * shell (POSIX) limits memory, CPU and files. Returns its output. **Throws** {@link ProgramFault}, or the reason of
 * `signal`.
 */
export async function runProgram (name: string, args: string[], run: ProgramRun): Promise<string> {
  run.signal.throwIfAborted()
  const child = spawn('/bin/sh', ['-c', scriptOf(name, run.limits), 'sh', ...args], {
    env: { PATH: run.searchPath },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe']
  })
  lowerPriority(child)
  const interrupt = () => killGroup(child)
  let isLate = false
  const late = setTimeout(() => {
    isLate = true
    killGroup(child)
  }, run.limits.limitMs)
  run.signal.addEventListener('abort', interrupt)
  try {
    return await outputOf(child, run.onLine)
  } catch (error) {
    run.signal.throwIfAborted()
    if (isLate) throw new ProgramFault('late', `no end within ${run.limits.limitMs / SECOND} s`)
    throw error
  } finally {
    clearTimeout(late)
    run.signal.removeEventListener('abort', interrupt)
  }
}

/**
 * The standard input stays open as long as this process lives. When it closes, a watcher kills the group, so that no
 * program outlives a killed server. If a system refuses one limit, the other limits apply.
 */
function scriptOf (name: string, { cpuSeconds, addressSpaceBytes, fileBytes }: ProgramLimits): string {
  return [
    ...(addressSpaceBytes === undefined ? [] : [`ulimit -v ${Math.floor(addressSpaceBytes / KiB)}`]),
    `ulimit -t ${cpuSeconds}`,
    `ulimit -f ${Math.ceil(fileBytes / BLOCK_BYTES)}`,
    'ulimit -c 0',
    'umask 027',
    'exec 3<&0',
    '{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &',
    `exec ${name} "$@" </dev/null 3<&-`
  ].join('\n')
}

async function outputOf (child: ChildProcess, onLine: ProgramRun['onLine']): Promise<string> {
  let output = ''
  let message = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (onLine === undefined) return
    const lines = output.split('\n')
    output = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  child.stdout?.on('data', () => {
    if (output.length > MAX_OUTPUT_CHARACTERS) killGroup(child)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    message = (message + text).slice(-MAX_ERROR_CHARACTERS)
  })
  // The watcher is of the same group, and would keep the output open.
  child.on('exit', () => killGroup(child))
  child.stdin?.on('error', () => {})
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(faultOf(code, signal, message.trim()))
    })
  })
}

function faultOf (code: number | null, signal: NodeJS.Signals | null, message: string): ProgramFault {
  const reason = message || `ended with ${signal ?? code}`
  if (code === CANNOT_EXECUTE || code === NOT_FOUND) return new ProgramFault('missing', reason)
  if (signal === 'SIGXFSZ' || /file too large/i.test(reason)) return new ProgramFault('inflated', reason)
  if (signal === 'SIGXCPU') return new ProgramFault('late', reason)
  if (signal === 'SIGKILL' || signal === 'SIGTERM') return new ProgramFault('killed', reason)
  if (/cannot allocate memory/i.test(reason)) return new ProgramFault('memory', reason)
  if (/no space left on device|disk quota exceeded/i.test(reason)) return new ProgramFault('disk', reason)
  return new ProgramFault('failed', reason)
}

/** Its threads inherit the priority. A program that has already ended is ignored. */
function lowerPriority ({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, NICENESS)
  } catch {}
}

/** Kills the process group of a program. A group that no longer exists is ignored. */
function killGroup ({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {}
}
