import Mux from '@mux/mux-node'
import type { MuxConfig } from '../../config/mux.js'
import type { MuxNames } from '../../media/schema.js'
import { DAY, SECOND } from '../../time.js'
import { isNotFound, isTooLate } from './mux-fault.js'

export type MuxUpload = Mux.Video.Upload
export type MuxAsset = Mux.Video.Asset

/** As long as a media is tried for: an upload goes on where it was after any shorter stop. */
const UPLOAD_SECONDS = DAY / SECOND

export type MuxApi = ReturnType<typeof createMuxApi>

/**
 * What this server asks of Mux's REST API. Each call is one request, which ends with `signal` or after `timeoutMs`; it
 * throws what the SDK throws (see {@link faultOf}). Trying again is the job's, which outlives this process.
 */
export function createMuxApi (
  { tokenId, tokenSecret, baseUrl, drmConfigurationId, signingKeyId }: MuxConfig,
  timeoutMs: number
) {
  const client = new Mux({
    tokenId,
    tokenSecret,
    baseURL: baseUrl,
    // Null: else they would be read from the environment.
    authorizationToken: null,
    webhookSecret: null,
    jwtSigningKey: null,
    jwtPrivateKey: null,
    maxRetries: 0,
    timeout: timeoutMs,
    logLevel: 'off'
  })
  const policy: MuxNames['policy'] = drmConfigurationId === undefined ? 'signed' : 'drm'
  /** The SDK's own timeout ends with the headers; a body may hang too. */
  const within = (signal?: AbortSignal) => {
    const limit = AbortSignal.timeout(timeoutMs)
    return { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) }
  }

  return {
    /** How new media are protected. */
    policy,

    /** Opens a direct upload for a media; what it becomes carries the media's id as `passthrough`. */
    async createUpload (mediaId: string, corsOrigin: string, signal: AbortSignal): Promise<MuxUpload> {
      return await client.video.uploads.create(
        {
          cors_origin: corsOrigin,
          timeout: UPLOAD_SECONDS,
          new_asset_settings: {
            ...(drmConfigurationId === undefined
              ? { playback_policies: ['signed'] }
              : { advanced_playback_policies: [{ policy: 'drm', drm_configuration_id: drmConfigurationId }] }),
            // The lowest that DRM takes.
            video_quality: 'plus',
            passthrough: mediaId
          }
        },
        within(signal)
      )
    },

    /** Undefined where Mux knows no such upload. */
    findUpload: async (id: string, signal: AbortSignal): Promise<MuxUpload | undefined> =>
      await found(client.video.uploads.retrieve(id, within(signal))),

    /** After it no asset will come of the upload. False if it is too late, or nothing was to come of it anyway. */
    async cancelUpload (id: string, signal: AbortSignal): Promise<boolean> {
      try {
        await client.video.uploads.cancel(id, within(signal))
        return true
      } catch (error) {
        if (isTooLate(error)) return false
        throw error
      }
    },

    /** Undefined where Mux knows no such asset. */
    findAsset: async (id: string, signal: AbortSignal): Promise<MuxAsset | undefined> =>
      await found(client.video.assets.retrieve(id, within(signal))),

    /** One that is gone already is no error. */
    async deleteAsset (id: string, signal: AbortSignal): Promise<void> {
      await found(client.video.assets.delete(id, within(signal)))
    },

    /** Throws what is wrong with the credentials; false if the account has no such signing key. */
    async check (): Promise<boolean> {
      await client.video.uploads.list({ limit: 1 }, within())
      return (await found(client.system.signingKeys.retrieve(signingKeyId, within()))) !== undefined
    }
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
