import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MiB } from '../../bytes.js'
import { ApiError } from '../../errors.js'
import { ACCEPTED_FORMATS } from '../../schemas/upload-problem-codes.js'
import type { Probed, Refusal } from '../media-formats.js'

export interface ProbeTask {
  path: string
  cpuMs: number
  maxRssBytes: number
}

export type ProbeOutcome =
  | { probed: Probed | null }
  | { refused: Refusal }
  /** A system call failed. */
  | { failed: { code: string; message: string } }
  | { tooComplex: 'cpu' | 'memory' }

export interface ProbeLimits {
  /** CPU time of one probe, in milliseconds. */
  cpuMs: number
  /** Resident memory of the probe process. */
  maxRssBytes: number
  /** Wall-clock time of one probe. Only an overloaded machine or a hanging disk needs this much. */
  wallMs: number
}

const WASM_PAGE_BYTES = 64 * 1024
/** Maximum memory of the parser. A 36 MB index (a film of ten hours) needs 60 MiB. */
const MAX_WASM_BYTES = 128 * MiB
/** Idle time before the process ends. The next upload then waits 0.1 s for a new process. */
const IDLE_MS = 60_000
/** Signals that end a process because of the file. Other signals and exit codes have other causes. */
const CRASHES: ReadonlyArray<NodeJS.Signals | null> = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']

/**
 * A process that describes one file at a time, within limits. It starts with the first file and ends after an idle
 * minute. It gets no environment variables, because a parser needs no secrets.
 */
export class ProbeProcess {
  readonly #limits: ProbeLimits
  #child: ChildProcess | undefined
  #idle: NodeJS.Timeout | undefined
  #closed: Error | undefined
  /** Settles the running probe. */
  #settle: { resolve(outcome: ProbeOutcome): void; reject(error: Error): void } | undefined

  constructor (limits: ProbeLimits) {
    this.#limits = limits
  }

  /** The id of the process, or undefined if no process runs. */
  get pid (): number | undefined {
    return this.#child?.pid
  }

  /**
   * Describes a file. **Throws** `media_encrypted`, `media_truncated`, `unsupported_media_format` for a known format,
   * `media_too_complex`, `overloaded`, the reason of {@link close}, or the error of a system call.
   */
  async describe (path: string): Promise<Probed | null> {
    const outcome = await this.#run(path)
    if ('probed' in outcome) return outcome.probed
    if ('refused' in outcome) throw refusalError(outcome.refused)
    if ('failed' in outcome) throw Object.assign(new Error(outcome.failed.message), { code: outcome.failed.code })
    throw new ApiError('media_too_complex', { extra: { exceeded: outcome.tooComplex } })
  }

  /** Kills the process. The running probe and all later probes throw `reason`. */
  close (reason: Error): void {
    this.#closed ??= reason
    this.#settle?.reject(reason)
    this.#kill()
  }

  async #run (path: string): Promise<ProbeOutcome> {
    if (this.#closed !== undefined) throw this.#closed
    let late: NodeJS.Timeout | undefined
    try {
      const child = this.#child ?? this.#start()
      this.#stayBusy(child)
      const outcome = await new Promise<ProbeOutcome>((resolve, reject) => {
        this.#settle = { resolve, reject }
        late = setTimeout(() => reject(new Error('it took too long')), this.#limits.wallMs)
        const { cpuMs, maxRssBytes } = this.#limits
        // A failed send is followed by `exit`.
        child.send({ path, cpuMs, maxRssBytes } satisfies ProbeTask, () => {})
      })
      if ('tooComplex' in outcome) this.#kill()
      else this.#stayIdle(child)
      return outcome
    } catch (error) {
      this.#kill()
      if (error instanceof ApiError) throw error
      throw new ApiError('overloaded', { cause: error, headers: { 'retry-after': '5' } })
    } finally {
      clearTimeout(late)
      this.#settle = undefined
    }
  }

  #start (): ChildProcess {
    const child = fork(fileURLToPath(new URL('./probe-child.js', import.meta.url)), [], {
      env: {},
      execArgv: [
        `--wasm-max-mem-pages=${MAX_WASM_BYTES / WASM_PAGE_BYTES}`,
        // Disables V8's optimization of the parser, which takes 35 MB that V8 never frees. A probe is too short to
        // benefit.
        '--wasm-tiering-budget=2000000000'
      ],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc']
    })
    this.#child = child
    child.on('message', (outcome: ProbeOutcome) => {
      if (this.#child === child) this.#settle?.resolve(outcome)
    })
    child.on('error', (error) => this.#ended(child, error))
    child.on('exit', (code, signal) => {
      if (CRASHES.includes(signal)) this.#settleCrash(child)
      this.#ended(child, new Error(`the process that describes files ended (${signal ?? code})`))
    })
    return child
  }

  #settleCrash (child: ChildProcess): void {
    if (this.#child === child) this.#settle?.resolve({ tooComplex: 'memory' })
  }

  #ended (child: ChildProcess, error: Error): void {
    if (this.#child !== child) return
    this.#child = undefined
    this.#settle?.reject(error)
  }

  #stayBusy (child: ChildProcess): void {
    clearTimeout(this.#idle)
    child.ref()
    child.channel?.ref()
  }

  /** Lets a test or a command exit while the process is idle. */
  #stayIdle (child: ChildProcess): void {
    child.unref()
    child.channel?.unref()
    this.#idle = setTimeout(() => this.#kill(), IDLE_MS).unref()
  }

  #kill (): void {
    clearTimeout(this.#idle)
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }
}

function refusalError (refusal: Refusal): ApiError {
  if (!('format' in refusal)) return new ApiError(refusal.code)
  return new ApiError(refusal.code, {
    detail: `The file is ${refusal.format}, which is not accepted. Convert it to ${ACCEPTED_FORMATS} first.`
  })
}
