import type { Kysely } from 'kysely'
import { createPublicKey } from 'node:crypto'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Library } from '../../media/library.js'
import type { MuxConfig } from '../../config/mux.js'
import type { LinkSigner } from '../../playback/link-signer.js'
import type { BlobStore } from '../../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../../time.js'
import { ownPlayback } from '../hls/local-provider.js'
import type { DrmLicences, HostedVideoProvider } from '../provider.js'
import { createMuxApi } from './mux-api.js'
import { createMuxEvents, type MuxEvents } from './mux-events.js'
import type { MuxFault } from './mux-fault.js'
import { createMuxIngest } from './mux-ingest.js'
import { createMuxLedger, type LockSums } from './mux-ledger.js'
import { createMuxRunner } from './mux-runner.js'
import { signPlaybackToken, verifyPlaybackToken } from './playback-token.js'

/** Where Mux's players look, whatever the address of its API. */
const STREAM = 'https://stream.mux.com'
const IMAGE = 'https://image.mux.com'
const LICENSE = 'https://license.mux.com'
/** Mux answers its API within seconds; a line that carries nothing for a minute is dead. */
const TIMES: MuxTimes = { answerMs: 20 * SECOND, idleMs: MINUTE, lookEveryMs: SECOND }

/** How long to wait for an answer of the API and on a silent line, and how often to look for what waits. */
export interface MuxTimes {
  answerMs: number
  idleMs: number
  lookEveryMs: number
}

interface MuxProviderOptions {
  config: MuxConfig
  db: Kysely<Database>
  blobs: BlobStore
  library: Library
  /** For our own links, for what is not yet at Mux. */
  signer: LinkSigner
  lockSums: LockSums
  publicUrl: string | undefined
  clock: Clock
  times?: MuxTimes | undefined
  onFault: (fault: MuxFault, about: object) => void
}

export interface MuxProvider extends HostedVideoProvider {
  events: MuxEvents
}

/** Protected streams by Mux: uploaded in the background, played by signed addresses or DRM. */
export function createMuxProvider ({
  config,
  db,
  blobs,
  library,
  signer,
  lockSums,
  publicUrl,
  clock,
  times = TIMES,
  onFault
}: MuxProviderOptions): MuxProvider {
  const api = createMuxApi(config, times.answerMs)
  const ledger = createMuxLedger({ db, library, lockSums, clock })
  const ingest = createMuxIngest({ db, blobs, api, ledger, corsOrigin: publicUrl ?? '*', idleMs: times.idleMs })
  const runner = createMuxRunner({ db, library, ingest, ledger, clock, pollEveryMs: times.lookEveryMs, onFault })
  const key = { id: config.signingKeyId, privateKey: config.privateKey, publicKey: createPublicKey(config.privateKey) }

  async function licences (playbackId: string, expiresAt: number): Promise<DrmLicences> {
    const token = await signPlaybackToken(playbackId, 'd', expiresAt, key)
    const license = (system: string) => `${LICENSE}/license/${system}/${playbackId}?token=${token}`
    return {
      token,
      widevine: license('widevine'),
      playready: license('playready'),
      fairplay: license('fairplay'),
      fairplayCertificate: `${LICENSE}/appcert/fairplay/${playbackId}?token=${token}`
    }
  }

  return {
    start: (isOnlyInstance) => runner.start(isOnlyInstance),
    stop: () => runner.stop(),

    async playback (media, link, origin) {
      const playbackId = media.mux?.playbackId ?? null
      if (media.status !== 'ready' || playbackId === null) return ownPlayback(media, link, origin, signer)
      const [video, picture, drm] = await Promise.all([
        signPlaybackToken(playbackId, 'v', link.expiresAt, key),
        media.type === 'video' ? signPlaybackToken(playbackId, 't', link.expiresAt, key) : null,
        media.mux!.policy === 'drm' ? licences(playbackId, link.expiresAt) : null
      ])
      return {
        url: `${STREAM}/${playbackId}.m3u8?token=${video}`,
        posterUrl: picture && `${IMAGE}/${playbackId}/thumbnail.jpg?token=${picture}`,
        drm
      }
    },

    events: createMuxEvents({ db, ledger, library, secret: config.webhookSecret, clock }),

    async licencesFor ({ mux }, token) {
      const playbackId = mux?.playbackId ?? null
      const verdict = playbackId === null ? undefined : verifyPlaybackToken(playbackId, token, key, clock.now())
      if (verdict?.ok !== true) {
        throw new ApiError(verdict?.reason === 'expired' ? 'stream_link_expired' : 'stream_link_invalid')
      }
      return mux!.policy === 'drm' ? await licences(playbackId!, verdict.expiresAt) : null
    }
  }
}
