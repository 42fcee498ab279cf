import Mux from '@mux/mux-node'
import type { MuxConfig } from '../../config/mux.js'
import type { MuxNames } from '../../media/schema.js'
import { DAY, SECOND } from '../../time.js'
import { isNotFound, isTooLate } from './mux-fault.js'

export type MuxUpload = Mux.Video.Upload
export type MuxAsset = Mux.Video.Asset

/** As long as a media is retried: an upload continues after any shorter outage. */
const UPLOAD_SECONDS = DAY / SECOND

/**
 * The requests of this server to Mux's REST API. Each one ends with `signal` or after `timeoutMs`, and **throws** what
 * the SDK throws (see {@link faultOf}). The job retries, because it outlives this process.
 */
export class MuxApi {
  /** How new media are protected. */
  readonly policy: MuxNames['policy']
  readonly #config: MuxConfig
  readonly #timeoutMs: number
  readonly #client: Mux

  constructor (config: MuxConfig, timeoutMs: number) {
    this.policy = config.drmConfigurationId === undefined ? 'signed' : 'drm'
    this.#config = config
    this.#timeoutMs = timeoutMs
    this.#client = new Mux({
      tokenId: config.tokenId,
      tokenSecret: config.tokenSecret,
      baseURL: config.baseUrl,
      // Null: otherwise the SDK reads them from the environment.
      authorizationToken: null,
      webhookSecret: null,
      jwtSigningKey: null,
      jwtPrivateKey: null,
      maxRetries: 0,
      timeout: timeoutMs,
      logLevel: 'off'
    })
  }

  /** Creates a direct upload for a media. Its asset carries the id of the media as `passthrough`. */
  async createUpload (mediaId: string, corsOrigin: string, signal: AbortSignal): Promise<MuxUpload> {
    const { drmConfigurationId } = this.#config
    return await this.#client.video.uploads.create(
      {
        cors_origin: corsOrigin,
        timeout: UPLOAD_SECONDS,
        new_asset_settings: {
          ...(drmConfigurationId === undefined
            ? { playback_policies: ['signed'] }
            : { advanced_playback_policies: [{ policy: 'drm', drm_configuration_id: drmConfigurationId }] }),
          // The lowest quality that supports DRM.
          video_quality: 'plus',
          passthrough: mediaId
        }
      },
      this.#within(signal)
    )
  }

  /** Returns an upload; undefined if Mux does not know it. */
  async findUpload (id: string, signal: AbortSignal): Promise<MuxUpload | undefined> {
    return await found(this.#client.video.uploads.retrieve(id, this.#within(signal)))
  }

  /** Cancels an upload: it never becomes an asset. Returns false if it is too late, or the upload has ended. */
  async cancelUpload (id: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.video.uploads.cancel(id, this.#within(signal))
      return true
    } catch (error) {
      if (isTooLate(error)) return false
      throw error
    }
  }

  /** Returns an asset; undefined if Mux does not know it. */
  async findAsset (id: string, signal: AbortSignal): Promise<MuxAsset | undefined> {
    return await found(this.#client.video.assets.retrieve(id, this.#within(signal)))
  }

  /** Deletes an asset, if it still exists. */
  async deleteAsset (id: string, signal: AbortSignal): Promise<void> {
    await found(this.#client.video.assets.delete(id, this.#within(signal)))
  }

  /** Whether the account has the signing key. **Throws** if the credentials are wrong. */
  async check (): Promise<boolean> {
    await this.#client.video.uploads.list({ limit: 1 }, this.#within())
    const key = this.#client.system.signingKeys.retrieve(this.#config.signingKeyId, this.#within())
    return (await found(key)) !== undefined
  }

  /** The timeout of the SDK ends with the headers, but a body may hang too. */
  #within (signal?: AbortSignal): { signal: AbortSignal } {
    const limit = AbortSignal.timeout(this.#timeoutMs)
    return { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) }
  }
}

async function found<T> (request: Promise<T>): Promise<T | undefined> {
  try {
    return await request
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}
