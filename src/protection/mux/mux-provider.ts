import type { Kysely } from 'kysely'
import { createPublicKey } from 'node:crypto'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Library } from '../../media/library.js'
import type { LockSums } from '../../media/lock-sums.js'
import type { Media } from '../../media/schema.js'
import type { MuxConfig } from '../../config/mux.js'
import type { LinkFacts } from '../../playback/link.js'
import type { LinkSigner } from '../../playback/link-signer.js'
import type { BlobStore } from '../../storage/blob-store.js'
import { MINUTE, SECOND, type Clock } from '../../time.js'
import { ownPlayback } from '../hls/local-provider.js'
import type { DrmLicences, HostedVideoProvider, Playback } from '../provider.js'
import { MuxApi } from './mux-api.js'
import { MuxAssetState } from './mux-asset-state.js'
import { MuxEvents } from './mux-events.js'
import type { MuxFault } from './mux-fault.js'
import { MuxIngest } from './mux-ingest.js'
import { createMuxRunner } from './mux-runner.js'
import { signPlaybackToken, verifyPlaybackToken, type SigningKey } from './playback-token.js'

/** The hosts for Mux's players. They do not depend on the URL of the API. */
const STREAM = 'https://stream.mux.com'
const IMAGE = 'https://image.mux.com'
const LICENSE = 'https://license.mux.com'
/** Mux's API responds within seconds; a connection without data for a minute is dead. */
const TIMES: MuxTimes = { answerMs: 20 * SECOND, idleMs: MINUTE, lookEveryMs: SECOND }

/** Timeouts of the API and of an idle connection, and the polling interval for pending jobs. */
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
  /** Signs links of this server, for media that are not yet at Mux. */
  signer: LinkSigner
  lockSums: LockSums
  publicUrl: string | undefined
  clock: Clock
  times?: MuxTimes | undefined
  onFault: (fault: MuxFault, about: object) => void
}

/** Provides encrypted streams by Mux. Media are uploaded in the background, and played by signed URLs or DRM. */
export class MuxProvider implements HostedVideoProvider {
  readonly events: MuxEvents
  readonly #runner: ReturnType<typeof createMuxRunner>
  readonly #signer: LinkSigner
  readonly #clock: Clock
  readonly #key: SigningKey

  constructor (options: MuxProviderOptions) {
    const { config, db, blobs, library, signer, lockSums, publicUrl, clock, times = TIMES, onFault } = options
    const api = new MuxApi(config, times.answerMs)
    const assetState = new MuxAssetState({ db, library, lockSums, clock })
    const ingest = new MuxIngest({ db, blobs, api, assetState, corsOrigin: publicUrl ?? '*', idleMs: times.idleMs })
    this.#runner = createMuxRunner({ db, library, ingest, assetState, clock, pollEveryMs: times.lookEveryMs, onFault })
    this.events = new MuxEvents({ db, assetState, library, secret: config.webhookSecret, clock })
    this.#signer = signer
    this.#clock = clock
    const { signingKeyId: id, privateKey } = config
    this.#key = { id, privateKey, publicKey: createPublicKey(privateKey) }
  }

  start (isOnlyInstance: boolean) {
    return this.#runner.start(isOnlyInstance)
  }

  stop () {
    return this.#runner.stop()
  }

  /** Returns the URLs of a media at Mux. Until the media is ready, returns URLs of this server. */
  async playback (media: Media, link: LinkFacts, origin: string): Promise<Playback> {
    const playbackId = media.mux?.playbackId ?? null
    if (media.status !== 'ready' || playbackId === null) return ownPlayback(media, link, origin, this.#signer)
    const [video, picture, drm] = await Promise.all([
      signPlaybackToken(playbackId, 'v', link.expiresAt, this.#key),
      media.type === 'video' ? signPlaybackToken(playbackId, 't', link.expiresAt, this.#key) : null,
      media.mux!.policy === 'drm' ? this.#licences(playbackId, link.expiresAt) : null
    ])
    return {
      url: `${STREAM}/${playbackId}.m3u8?token=${video}`,
      posterUrl: picture && `${IMAGE}/${playbackId}/thumbnail.jpg?token=${picture}`,
      drm
    }
  }

  /** Returns the DRM licences for the token of a media URL. **Throws** `stream_link_{invalid,expired}`. */
  async licencesFor ({ mux }: Media, token: string): Promise<DrmLicences | null> {
    const playbackId = mux?.playbackId ?? null
    if (playbackId === null) throw new ApiError('stream_link_invalid')
    const verdict = verifyPlaybackToken(playbackId, token, this.#key, this.#clock.now())
    if (!verdict.ok) throw new ApiError(verdict.reason === 'expired' ? 'stream_link_expired' : 'stream_link_invalid')
    return mux!.policy === 'drm' ? await this.#licences(playbackId, verdict.expiresAt) : null
  }

  async #licences (playbackId: string, expiresAt: number): Promise<DrmLicences> {
    const token = await signPlaybackToken(playbackId, 'd', expiresAt, this.#key)
    const license = (system: string) => `${LICENSE}/license/${system}/${playbackId}?token=${token}`
    return {
      token,
      widevine: license('widevine'),
      playready: license('playready'),
      fairplay: license('fairplay'),
      fairplayCertificate: `${LICENSE}/appcert/fairplay/${playbackId}?token=${token}`
    }
  }
}
