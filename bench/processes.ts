import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CleanUp } from './bench.js'

/** What each thread was last seen at: one that has ended since must not take its time back. */
const seen = new Map<number, Map<string, number>>()

/**
 * Processor seconds, user and system, that processes and all their threads have used: the scheduler's own count, in
 * nanoseconds (proc(5), schedstat).
 */
export function cpuSecondsOf (pids: number[]): number {
  let nanoseconds = 0
  for (const pid of pids) {
    const threads = seen.get(pid) ?? new Map<string, number>()
    seen.set(pid, threads)
    try {
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        threads.set(thread, Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0]))
      }
    } catch (error) {
      // A thread, or a process of nginx that has read its cache, may end meanwhile.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    for (const time of threads.values()) nanoseconds += time
  }
  return nanoseconds / 1e9
}

/** A process and those it started, such as the workers of nginx. */
export function familyOf (pid: number): number[] {
  return [
    pid,
    ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
      .split(' ')
      .filter((child) => child.trim() !== '')
      .map(Number)
  ]
}

/** Resident memory of a process in MB. */
export function residentMbOf (pid: number): number {
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024) / 1e6
}

/** A server under measure: where it is, and whose processor time counts. */
export interface Program {
  origin: string
  pids: number[]
  child: ChildProcess
}

/**
 * Starts a compiled program of this folder, or another command, that prints `listens on <origin>`; ended with the
 * bench.
 */
export async function startProgram (
  t: CleanUp,
  file: string,
  env: Record<string, string>,
  wrap: string[] = []
): Promise<Program> {
  const [command = '', ...args] = [...wrap, process.execPath, join('dist', file)]
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    // The group: a tracer in front would leave the server behind.
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {}
    await exited
  })
  let printed = ''
  const origin = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed = (printed + text).slice(-10_000)
        const address = /listens on (http:\S+)/.exec(printed)?.[1]
        if (address !== undefined) resolve(address)
      })
    }
    void exited.then(() => reject(new Error(`${file} ended before it listened:\n${printed}`)))
  })
  return { origin, pids: [child.pid!], child }
}

export const startPlaygate = (t: CleanUp, env: Record<string, string>, wrap: string[] = []): Promise<Program> =>
  startProgram(t, 'bundle/server.js', env, wrap)
