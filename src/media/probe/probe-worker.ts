import { parentPort } from 'node:worker_threads'
import { describe } from './describe-file.js'
import type { ProbeOutcome } from './probe-process.js'

/** The thread of a probe process that describes files, one at a time. */
async function outcomeOf (path: string): Promise<ProbeOutcome> {
  try {
    return { probed: await describe(path) }
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException
    // A refused system call is not the file's fault.
    if (/^E[A-Z]+$/.test(code ?? '')) return { failed: { code: code!, message } }
    // No memory (WebAssembly aborts, a buffer cannot be allocated), or no stack.
    if (name === 'RuntimeError' || name === 'RangeError') return { tooComplex: 'memory' }
    return { probed: null }
  }
}

parentPort!.on('message', (path: string) => {
  void outcomeOf(path).then((outcome) => parentPort!.postMessage(outcome))
})
