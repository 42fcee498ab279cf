import Mux from '@mux/mux-node'
import type { MuxConfig } from '../../config/mux.js'
import type { MuxNames } from '../../media/schema.js'
import { DAY, SECOND } from '../../time.js'
import { isNotFound, isTooLate } from './mux-fault.js'

export type MuxUpload = Mux.Video.Upload
export type MuxAsset = Mux.Video.Asset

/** As long as the retries of a media, so that an upload continues after any shorter outage. */
const UPLOAD_SECONDS = DAY / SECOND

/**
 * Sends requests to Mux's REST API. A request ends with `signal` or after `timeoutMs`, and **throws** the errors of the
 * SDK (see {@link faultOf}). This class does not retry: jobs retry, because they survive this process.
 */
export class MuxApi {
  /** The protection of new media. */
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
      // With null, the SDK does not read them from the environment.
      authorizationToken: null,
      webhookSecret: null,
      jwtSigningKey: null,
      jwtPrivateKey: null,
      maxRetries: 0,
      timeout: timeoutMs,
      logLevel: 'off'
    })
  }

  /** Creates a direct upload for a media. The asset has the id of the media as `passthrough`. */
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

  /** Returns an upload. Undefined if Mux does not have it. */
  async findUpload (id: string, signal: AbortSignal): Promise<MuxUpload | undefined> {
    return await found(this.#client.video.uploads.retrieve(id, this.#within(signal)))
  }

  /** Cancels an upload, so that it never becomes an asset. Returns false if the upload can no longer be cancelled. */
  async cancelUpload (id: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.video.uploads.cancel(id, this.#within(signal))
      return true
    } catch (error) {
      if (isTooLate(error)) return false
      throw error
    }
  }

  /** Returns an asset. Undefined if Mux does not have it. */
  async findAsset (id: string, signal: AbortSignal): Promise<MuxAsset | undefined> {
    return await found(this.#client.video.assets.retrieve(id, this.#within(signal)))
  }

  /** Deletes an asset, if it still exists. */
  async deleteAsset (id: string, signal: AbortSignal): Promise<void> {
    await found(this.#client.video.assets.delete(id, this.#within(signal)))
  }

  /** Returns whether the account has the signing key. **Throws** if the credentials are wrong. */
  async check (): Promise<boolean> {
    await this.#client.video.uploads.list({ limit: 1 }, this.#within())
    const key = this.#client.system.signingKeys.retrieve(this.#config.signingKeyId, this.#within())
    return (await found(key)) !== undefined
  }

  /** The timeout of the SDK covers only the headers, but reading a body may hang, too. */
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
