import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A strace at work on a running process and all its threads. */
export interface Trace {
  /** The calls so far, one a line; a call that another thread interrupted is one line, at the place where it was done. */
  calls (): Promise<string[]>
  /** Lets go of the process, which runs on, and answers its calls. */
  end (): Promise<string[]>
}

/**
 * Attaches strace to a process; resolves when every thread of it is watched. `calls` are the names of the system calls; `inject` is what becomes of
 * them (`error=EIO`, `signal=KILL`, … of strace(1)); `path` limits both to those that touch this one.
 */
export async function strace (t: Pick<Test, 'teardown'>, pid: number, { calls, inject, path }: { calls: string, inject?: string, path?: string }): Promise<Trace> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-strace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const log = join(folder, 'calls')
  const child = spawn('strace', ['-f', '-yy', '-s', '64', '-o', log, ...(path === undefined ? [] : ['-P', path]), '-e', `trace=${calls}`, ...(inject === undefined ? [] : ['-e', `inject=${calls}:${inject}`]), '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (/Process \d+ attached/.test(said)) resolve()
    })
    child.once('exit', () => reject(new Error(`strace could not attach: ${said}`)))
  })
  const read = async () => joined((await readFile(log, 'utf8')).split('\n'))
  return {
    calls: read,
    async end () {
      child.kill('SIGTERM')
      await exited
      return await read()
    }
  }
}

/** Puts the two halves of an interrupted call together. */
function joined (lines: string[]): string[] {
  const started = new Map<string, string>()
  return lines.flatMap((line) => {
    const thread = line.split(' ', 1)[0]!
    if (line.endsWith(' <unfinished ...>')) {
      started.set(thread, line.slice(0, -' <unfinished ...>'.length))
      return []
    }
    return [line.replace(/^\d+ +<\.\.\. \w+ resumed>/, () => started.get(thread) ?? '')]
  })
}

/** Why processes cannot be traced here, and what to do; false where they can. */
export const noStrace: string | false = (() => {
  if (process.platform !== 'linux') return 'FAULTS NOT INJECTED: strace needs Linux'
  if (spawnSync('strace', ['--version']).status !== 0) return 'FAULTS NOT INJECTED: needs the strace program: apt-get install strace'
  // As the tests do: attached to a process that is not strace's own child.
  const other = spawn('sleep', ['10'], { stdio: 'ignore' })
  try {
    const { stderr } = spawnSync('strace', ['-o', '/dev/null', '-p', String(other.pid)], { timeout: 500, encoding: 'utf8' })
    return /attached/.test(stderr) ? false : `FAULTS NOT INJECTED: this user may not trace (${stderr.trim()}): run as root, with CAP_SYS_PTRACE in a container, or after sysctl kernel.yama.ptrace_scope=0`
  } finally {
    other.kill()
  }
})()
