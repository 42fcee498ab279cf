import type { Kysely } from 'kysely'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import { describeJob } from '../jobs/job.js'
import type { Library } from '../media/library.js'
import type { LockSums } from '../media/lock-sums.js'
import { countMuxMedia } from '../media/media-protection-store.js'
import type { Metrics } from '../monitoring/metrics.js'
import type { LinkSigner } from '../playback/link-signer.js'
import type { Keyring } from '../secrets/keyring.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import type { Ffmpeg } from './hls/ffmpeg.js'
import { createLocalProvider } from './hls/local-provider.js'
import { createPackageRunner } from './hls/package-runner.js'
import type { MuxProvider, MuxTimes } from './mux/mux-provider.js'
import type { VideoProvider } from './provider.js'

interface Options {
  config: Pick<Config, 'mux' | 'publicUrl'>
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  signer: LinkSigner
  /** Encrypts the content keys. */
  keys: Keyring
  lockSums: LockSums
  clock: Clock
  ffmpeg: Ffmpeg | undefined
  muxTimes: MuxTimes | undefined
  metrics: Pick<Metrics, 'jobFailures'>
  log: Record<'info' | 'warn', (about: object, text: string) => void>
}

/** Opens the makers of encrypted streams: this server, and Mux where it is configured. */
export async function openVideoProviders (
  options: Options
): Promise<{ local: VideoProvider; mux: MuxProvider | undefined }> {
  const { signer, log, metrics } = options
  const runner = createPackageRunner({
    ...options,
    onError (err, job) {
      metrics.jobFailures.inc({ kind: 'package' })
      log.warn({ err, ...describeJob(job) }, 'packaging failed')
    },
    onNoPicture: (reason, mediaId) => log.info({ media_id: mediaId, reason }, 'failed to take a picture of a video')
  })
  const mux = options.config.mux && (await openMux(options, options.config.mux))
  if (mux === undefined && (await countMuxMedia(options.db)) > 0) {
    log.warn({}, 'media at Mux cannot be played: no account is configured; set MUX_TOKEN_ID and its other variables')
  }
  return { local: createLocalProvider({ runner, signer }), mux }
}

/** Imported where it is needed: the SDK costs 10 MB of memory. */
async function openMux (options: Options, config: NonNullable<Config['mux']>): Promise<MuxProvider> {
  const { MuxProvider } = await import('./mux/mux-provider.js')
  return new MuxProvider({
    ...options,
    config,
    publicUrl: options.config.publicUrl,
    times: options.muxTimes,
    onFault (fault, about) {
      options.metrics.jobFailures.inc({ kind: 'mux' })
      options.log.warn({ ...about, reason: fault.message }, 'Mux request failed')
    }
  })
}
