import { createRequire, syncBuiltinESMExports } from 'node:module'
import type { WorkerOptions } from 'node:worker_threads'

// Loaded before each test file (.taprc). tap adds its loader to each process and each thread that a test starts. A
// server would start slower, take more memory and handle signals otherwise than the one that ships, and each of its
// threads would cost a third of a second of CPU. This takes the loader away.

const hooks = globalThis as unknown as Record<symbol, { unwrap?(): void } | undefined>
hooks[Symbol.for('process-on-spawn@*:singletonId')]?.unwrap?.()
// What `fork` hands on.
process.execArgv = []
// What threads inherit, unless they are given arguments of their own.
delete process.env.NODE_OPTIONS
const threads = createRequire(import.meta.url)('node:worker_threads') as typeof import('node:worker_threads')
const { Worker } = threads
threads.Worker = class PlainWorker extends Worker {
  constructor (filename: string | URL, options?: WorkerOptions) {
    super(filename, { execArgv: [], env: process.env, ...options })
  }
}
syncBuiltinESMExports()
