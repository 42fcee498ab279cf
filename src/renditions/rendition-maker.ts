import type { Kysely } from 'kysely'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import { describeJob } from '../jobs/job.js'
import type { Library } from '../media/library.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { createRenditionRunner } from './rendition-runner.js'
import type { Renditions } from './renditions.js'
import { Transcoder } from './transcoder.js'

interface Options {
  config: Pick<Config, 'searchPath' | 'transcode' | 'transcodeHardware'>
  db: Kysely<Database>
  blobs: BlobStore
  clock: Clock
  library: Library
  renditions: Renditions
  /** Undefined: ffmpeg is not installed. */
  ffmpeg: { version(): Promise<string | undefined> } | undefined
  log: Record<'info' | 'warn', (about: object, text: string) => void>
}

/** Makes the queued renditions from `start` to `stop`. */
export function createRenditionMaker (options: Options) {
  const { config, renditions, ffmpeg, log } = options
  const stopping = new AbortController()
  const transcoder = new Transcoder({
    searchPath: config.searchPath,
    hardware: config.transcodeHardware,
    onHardwareFault: (err) =>
      log.warn({ err, hardware: config.transcodeHardware }, 'hardware cannot encode; software does: TRANSCODE_HWACCEL')
  })
  const runner = createRenditionRunner({
    ...options,
    transcoder,
    onError: (err, job) => log.warn({ err, ...describeJob(job) }, 'a rendition failed')
  })
  let prepared: Promise<void> | undefined

  /** Tries the hardware encoder, and queues the renditions that earlier starts could not make. */
  async function prepare (): Promise<void> {
    if (config.transcode === 'off' || (await ffmpeg?.version()) === undefined) return
    await transcoder.encoder()
    const queued = await renditions.queueMissing(stopping.signal)
    if (queued > 0) log.info({ queued }, 'queued missing renditions')
  }

  return {
    /** With TRANSCODE=off, queued renditions wait. */
    async start (isOnlyInstance: boolean): Promise<void> {
      if (config.transcode === 'off') return
      prepared = prepare().catch((err: unknown) => log.warn({ err }, 'failed to queue missing renditions'))
      await runner.start(isOnlyInstance)
    },
    async stop (): Promise<void> {
      stopping.abort()
      await Promise.all([runner.stop(), prepared])
    }
  }
}
