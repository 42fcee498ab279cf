import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import type { Sample } from './bench.js'
import { cpuSecondsOf, type Program } from './processes.js'

/** What the load generator is told. Requests are whole, as they go over the wire; this many of them, or for so long. */
export type Job =
  | {
    kind: 'requests'
    origin: string
    connections: number
    count?: number
    seconds?: number
    requests: string[]
    perSecond?: number
    expect: number
  }
  | {
    kind: 'download'
    origin: string
    request: string
    times: number
    bytesPerSecond?: number
    connections?: number
    expect: number
  }
  | { kind: 'upload'; origin: string; head: string; prefix: string; bytes: number; suffix: string; expect: number }

export interface LoadResult {
  count: number
  bytes: number
  seconds: number
  p50Ms: number
  p99Ms: number
  cpuSeconds: number
  last: string
}

/**
 * Generators that have run a job and wait for the next: V8 has compiled them, and a cold one would hold a quick server
 * up.
 */
const resting: ChildProcess[] = []

/**
 * Runs a job in a process of its own, so that the load generator takes nothing of the server's; stops early when
 * `signal` says so.
 */
export async function runLoad (job: Job, signal?: AbortSignal): Promise<LoadResult> {
  const child =
    resting.pop() ??
    fork(new URL('./load-process.js', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.ref()
  child.channel!.ref()
  const stop = () => child.send('stop')
  signal?.addEventListener('abort', stop)
  const over = new AbortController()
  try {
    child.send(job)
    const [result] = await Promise.race([
      once(child, 'message', over) as Promise<[LoadResult | { error: string }]>,
      once(child, 'exit', over).then(([code]) => {
        throw new Error(`the load generator ended with ${code}`)
      })
    ])
    if ('error' in result) throw new Error(result.error)
    resting.push(child)
    child.unref()
    child.channel!.unref()
    return result
  } catch (error) {
    child.kill()
    throw error
  } finally {
    over.abort()
    signal?.removeEventListener('abort', stop)
  }
}

/** Runs a job against a program and answers what the program paid for it; `unitsOf` says how many units were done. */
export async function measureLoad (
  program: Pick<Program, 'pids'>,
  job: Job,
  unitsOf: (result: LoadResult) => number = ({ count }) => count
): Promise<Sample> {
  const before = cpuSecondsOf(program.pids)
  const start = performance.now()
  const result = await runLoad(job)
  const seconds = job.kind === 'requests' ? result.seconds : (performance.now() - start) / 1000
  return {
    units: unitsOf(result),
    seconds,
    cpuSeconds: cpuSecondsOf(program.pids) - before,
    loadCpuSeconds: result.cpuSeconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms
  }
}

export const gigabytes = ({ bytes }: LoadResult): number => bytes / 1e9

/** A request without a body, as it goes over the wire. */
export const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): string =>
  `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`
