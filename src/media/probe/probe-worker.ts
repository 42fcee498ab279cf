import { parentPort } from 'node:worker_threads'
import { describe } from './describe-file.js'
import type { ProbeOutcome } from './probe-process.js'

/** Describes a file in the worker thread of a probe process. */
async function outcomeOf (path: string): Promise<ProbeOutcome> {
  try {
    const probed = await describe(path)
    return probed !== null && 'refused' in probed ? probed : { probed }
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException
    // The file did not cause the failed system call.
    if (/^E[A-Z]+$/.test(code ?? '')) return { failed: { code: code!, message } }
    // The memory is full (WebAssembly aborts, or a buffer cannot be allocated), or the stack is full.
    if (name === 'RuntimeError' || name === 'RangeError') return { tooComplex: 'memory' }
    return { probed: null }
  }
}

parentPort!.on('message', (path: string) => {
  void outcomeOf(path).then((outcome) => parentPort!.postMessage(outcome))
})
