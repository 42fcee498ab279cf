import { Piscina } from 'piscina'
import { ApiError, type FieldError } from '../errors.js'
import { SECOND } from '../time.js'
import type { CaptionTask } from './caption-worker.js'
import type { CaptionFile } from './read-captions.js'
import type { CaptionFault } from './schema.js'

/** Measured: 10 MB need 7 s on a busy server of two cores. The rest is for other files in the queue. */
const LIMIT_MS = 60 * SECOND
/** Measured: 10 MB of short cues need less. A file that needs more is refused. */
const MEMORY = { maxOldGenerationSizeMb: 512 }
const MAX_WAITING = 32
const TOO_COMPLEX = 'The file needs too much time or memory. Split its cues, or remove tags.'

/** Reads caption files one by one in a worker thread, because the parser needs seconds for a large file. */
export class CaptionReader {
  readonly #pool = new Piscina({
    filename: new URL('./caption-worker.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: 1,
    maxQueue: MAX_WAITING,
    idleTimeout: 10 * SECOND,
    resourceLimits: MEMORY
  })

  constructor () {
    // The task of a failed thread rejects too.
    this.#pool.on('error', () => {})
  }

  /**
   * Returns a file as WebVTT, and the number of its cues. **Throws** `validation_failed` with the line and column of
   * each fault, or `overloaded` if too many files wait.
   */
  async read (task: CaptionTask): Promise<{ text: string; cues: number }> {
    const file = await this.#run(task)
    if ('text' in file) return file
    throw invalidFile(file.faults)
  }

  close (): Promise<void> {
    return this.#pool.close({ force: true })
  }

  async #run (task: CaptionTask): Promise<CaptionFile> {
    if (this.#pool.queueSize >= MAX_WAITING) throw new ApiError('overloaded', { headers: { 'retry-after': '5' } })
    try {
      return (await this.#pool.run(task, { signal: AbortSignal.timeout(LIMIT_MS) })) as CaptionFile
    } catch (error) {
      if (!isExhausted(error as Error & { code?: string })) throw error
      return { faults: [{ line: 1, column: 1, message: TOO_COMPLEX }] }
    }
  }
}

/** Returns true if the thread exceeded its memory or its time. */
function isExhausted ({ code, name }: Error & { code?: string }): boolean {
  return code === 'ERR_WORKER_OUT_OF_MEMORY' || name === 'AbortError' || name === 'TimeoutError'
}

function invalidFile (faults: CaptionFault[]): ApiError {
  const { line, column, message } = faults[0]!
  const errors = faults.map((fault): FieldError => ({ path: 'body', ...fault }))
  return new ApiError('validation_failed', { detail: `Line ${line}, column ${column}: ${message}`, errors })
}
