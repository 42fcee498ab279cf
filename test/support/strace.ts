import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A system call as strace wrote it down. `from` and `to` are the lines where it began and ended: it was over before
 * another began if its `to` is below that one's `from`.
 */
export interface SystemCall {
  text: string
  from: number
  to: number
}

/** A strace at work on a running process. */
export interface Trace {
  /** The calls so far, in the order in which they ended. */
  calls(): Promise<SystemCall[]>
  /** Releases the process, which runs on, and answers its calls. */
  end(): Promise<SystemCall[]>
}

interface What {
  /** Names of system calls, or one of strace(1)'s groups. */
  calls: string
  /** What becomes of them: `error=EIO`, `signal=KILL:when=1`, … of strace(1). */
  inject?: string
  /** Only those that touch this file. */
  path?: string
  /** Only those of the thread that runs the event loop; others write the files. */
  mainThread?: boolean
}

/** Attaches strace to a process; resolves when it watches. It detaches when the process ends, or by `end`. */
export async function strace (
  t: Pick<Test, 'teardown'>,
  pid: number,
  { calls, inject, path, mainThread = false }: What
): Promise<Trace> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-strace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const log = join(folder, 'calls')
  const args = ['-yy', '-s', '64', '-o', log, '-e', `trace=${calls}`]
  if (!mainThread) args.push('-f')
  if (path !== undefined) args.push('-P', path)
  if (inject !== undefined) args.push('-e', `inject=${calls}:${inject}`)
  const child = spawn('strace', [...args, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (/Process \d+ attached/.test(said)) resolve()
    })
    child.once('exit', () => reject(new Error(`strace could not attach: ${said}`)))
  })
  const read = async () => parse((await readFile(log, 'utf8')).split('\n'))
  return {
    calls: read,
    async end () {
      child.kill('SIGTERM')
      await exited
      return await read()
    }
  }
}

/** Runs a module to its end and answers its system calls. */
export async function straceModule (t: Pick<Test, 'teardown'>, source: string, calls: string): Promise<SystemCall[]> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-strace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const log = join(folder, 'calls')
  const { status, stderr } = spawnSync(
    'strace',
    [
      '-f',
      '-yy',
      '-s',
      '64',
      '-o',
      log,
      '-e',
      `trace=${calls}`,
      process.execPath,
      '--input-type=module',
      '--eval',
      source
    ],
    { encoding: 'utf8' }
  )
  if (status !== 0) throw new Error(stderr)
  return parse((await readFile(log, 'utf8')).split('\n'))
}

/** A call during which another thread made one stands on two lines. */
function parse (lines: string[]): SystemCall[] {
  const begun = new Map<string, { text: string; from: number }>()
  return lines.flatMap((line, to) => {
    const [, thread = '', rest = line] = /^(\d+) +(.*)$/.exec(line) ?? []
    const resumed = rest.startsWith('<... ')
    const { text: start = '', from = to } = resumed ? (begun.get(thread) ?? {}) : {}
    const text = start + (resumed ? rest.replace(/^<\.\.\. \w+ resumed>/, '') : rest)
    if (text.endsWith(' <unfinished ...>')) {
      begun.set(thread, { text: text.slice(0, -' <unfinished ...>'.length), from })
      return []
    }
    return text === '' ? [] : [{ text, from, to }]
  })
}

/** Why processes cannot be traced here, and what to do; false where they can. */
export const noStrace: string | false = (() => {
  if (process.platform !== 'linux') return 'FAULTS NOT INJECTED: strace needs Linux'
  if (spawnSync('strace', ['--version']).status !== 0) {
    return 'FAULTS NOT INJECTED: needs the strace program: apt-get install strace'
  }
  // As the tests do: attached to a process that is not strace's own child.
  const other = spawn('sleep', ['10'], { stdio: 'ignore' })
  try {
    const { stderr } = spawnSync('strace', ['-o', '/dev/null', '-p', String(other.pid)], {
      timeout: 500,
      encoding: 'utf8'
    })
    return /attached/.test(stderr)
      ? false
      : `FAULTS NOT INJECTED: this user may not trace (${stderr.trim()}): run as root, with CAP_SYS_PTRACE in a ` +
          'container, or after sysctl kernel.yama.ptrace_scope=0'
  } finally {
    other.kill()
  }
})()
