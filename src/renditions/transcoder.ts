import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { GiB, KiB, MiB } from '../bytes.js'
import { HOUR, MINUTE, SECOND } from '../time.js'
import { ProgramFault, runProgram, type ProgramLimits } from './bounded-program.js'
import { encoders, trialArguments, type Encoder, type EncoderName } from './encoders.js'
import { transcodeArguments } from './ffmpeg-arguments.js'
import { RenditionFault, type RenditionFaultCode } from './rendition-fault.js'
import { planRendition, type RenditionPlan } from './rendition-plan.js'
import { parseSource, probeArguments, type Source } from './source.js'

/** A rendition of the file at `path`, to write to `target`. */
export interface RenditionOrder {
  path: string
  target: string
  type: 'video' | 'audio'
  /** The size of the source. */
  sizeBytes: number
  durationMs: number | null
  signal: AbortSignal
  onProgress: (percent: number) => void
}

/** What was made. */
export interface MadeRendition {
  contentType: string
  sizeBytes: number
  width: number | null
  height: number | null
  codecs: string[]
  bitrate: number | null
}

interface Options {
  searchPath: string
  hardware: EncoderName | 'none'
  /** Called if the hardware cannot encode, at the start or for one file. Software encodes instead. */
  onHardwareFault: (error: unknown) => void
}

/** More threads need more memory, and leave nothing for requests. */
const THREADS = Math.min(4, availableParallelism())
/** On two cores, x264 encodes 1080p at half of real time; tone mapping takes three times as long. */
const MIN_LIMIT_MS = 10 * MINUTE
const LIMIT_FACTOR = 12
/** A header may claim any duration. */
const MAX_LIMIT_MS = 24 * HOUR
/** Measured: a transcode of 4K stays below 2 GB. */
const ADDRESS_SPACE_BYTES = 3 * GiB
/** H.264 may be several times as large as a source in a better codec. Far larger output comes from a hostile file. */
const SIZE_FACTOR = 8
const MIN_FILE_BYTES = 256 * MiB
const PROBE_LIMITS: ProgramLimits = {
  limitMs: MINUTE,
  cpuSeconds: 60,
  addressSpaceBytes: ADDRESS_SPACE_BYTES,
  fileBytes: KiB
}
/** ffmpeg skips what it cannot decode, and reports no failure. */
const MIN_COMPLETE = 0.9
const TOLERANCE_MS = SECOND

/** Makes renditions with the ffmpeg and the ffprobe of a search path. */
export class Transcoder {
  readonly #options: Options
  #encoder: Promise<Encoder> | undefined

  constructor (options: Options) {
    this.#options = options
  }

  /** Tries the hardware encoder on a clip. Software encodes if it fails. The result is kept. */
  async encoder (): Promise<Encoder> {
    this.#encoder ??= this.#chooseEncoder()
    return await this.#encoder
  }

  /**
   * Makes a rendition. **Throws** {@link RenditionFault} for a fault of the file, and other errors for a fault of the
   * machine. An aborted signal kills ffmpeg.
   */
  async make (order: RenditionOrder): Promise<MadeRendition> {
    const plan = planRendition(await this.#inspect(order.path, order.signal), order.type)
    const encoder = await this.encoder()
    try {
      await this.#transcode(order, plan, encoder)
    } catch (error) {
      if (encoder.name === 'software' || !(error instanceof ProgramFault)) throw toFault(error)
      this.#options.onHardwareFault(error)
      await this.#transcode(order, plan, encoders.software).catch((softwareError: unknown) => {
        throw toFault(softwareError)
      })
    }
    return await this.#check(order, plan)
  }

  async #chooseEncoder (): Promise<Encoder> {
    const { hardware, searchPath, onHardwareFault } = this.#options
    if (hardware === 'none') return encoders.software
    const limits = { limitMs: MINUTE, cpuSeconds: 60, addressSpaceBytes: undefined, fileBytes: KiB }
    try {
      const signal = new AbortController().signal
      await runProgram('ffmpeg', trialArguments(encoders[hardware]), { searchPath, limits, signal })
      return encoders[hardware]
    } catch (error) {
      onHardwareFault(error)
      return encoders.software
    }
  }

  async #inspect (path: string, signal: AbortSignal): Promise<Source> {
    try {
      const run = { searchPath: this.#options.searchPath, limits: PROBE_LIMITS, signal }
      return parseSource(await runProgram('ffprobe', probeArguments(path), run))
    } catch (error) {
      throw toFault(error)
    }
  }

  async #transcode (order: RenditionOrder, plan: RenditionPlan, encoder: Encoder): Promise<void> {
    const { path, target, sizeBytes, durationMs, signal, onProgress } = order
    const limitMs = Math.min(MAX_LIMIT_MS, MIN_LIMIT_MS + LIMIT_FACTOR * (durationMs ?? 0))
    const limits = {
      limitMs,
      cpuSeconds: Math.ceil((THREADS * limitMs) / SECOND),
      addressSpaceBytes: encoder.name === 'software' ? ADDRESS_SPACE_BYTES : undefined,
      fileBytes: SIZE_FACTOR * sizeBytes + MIN_FILE_BYTES
    }
    const args = transcodeArguments({ path, target, plan, encoder, threads: THREADS })
    const onLine = (line: string) => {
      const percent = percentOf(line, durationMs)
      if (percent !== undefined) onProgress(percent)
    }
    await runProgram('ffmpeg', args, { searchPath: this.#options.searchPath, limits, signal, onLine })
  }

  /** Checks that the rendition has the planned tracks and the whole duration. */
  async #check ({ target, durationMs, signal }: RenditionOrder, plan: RenditionPlan): Promise<MadeRendition> {
    const made = await this.#inspect(target, signal)
    const { size } = await stat(target)
    const isMissing =
      (plan.video !== undefined && made.video === undefined) ||
      (plan.audioIndex !== undefined && made.audio === undefined)
    const madeMs = (made.durationSeconds ?? 0) * SECOND
    if (isMissing || (durationMs !== null && madeMs < MIN_COMPLETE * durationMs - TOLERANCE_MS)) {
      throw new RenditionFault('source_damaged', `${Math.round(madeMs)} of ${durationMs} ms could be read`)
    }
    return {
      contentType: plan.video === undefined ? 'audio/mp4' : 'video/mp4',
      sizeBytes: size,
      width: made.video?.width ?? null,
      height: made.video?.height ?? null,
      codecs: [made.video?.codec, made.audio?.codec].filter((codec) => codec !== undefined),
      bitrate: madeMs > 0 ? Math.round((8 * size * SECOND) / madeMs) : null
    }
  }
}

/** Returns the percentage that a line of `-progress` reports; never 100, because the file is not checked yet. */
function percentOf (line: string, durationMs: number | null): number | undefined {
  const microseconds = /^out_time_us=(\d+)$/.exec(line)?.[1]
  if (microseconds === undefined || durationMs === null || durationMs === 0) return undefined
  return Math.min(99, Math.floor(Number(microseconds) / 10 / durationMs))
}

const FAULTS: Partial<Record<ProgramFault['kind'], RenditionFaultCode>> = {
  missing: 'ffmpeg_missing',
  late: 'source_damaged',
  failed: 'source_damaged',
  inflated: 'source_inflated',
  memory: 'source_too_large'
}

/** A full disk and a killed ffmpeg are no fault of the file. */
function toFault (error: unknown): unknown {
  const code = error instanceof ProgramFault ? FAULTS[error.kind] : undefined
  return code === undefined ? error : new RenditionFault(code, (error as Error).message)
}
