import type { Viewer } from '../accounts/schema.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { confirmRefusal } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'
import { ANONYMOUS, linkBornAt } from '../playback/link.js'
import type { LinkSigner } from '../playback/link-signer.js'
import { requireReady } from '../protection/protection.js'
import type { DrmLicences, Playback, VideoProviders } from '../protection/provider.js'
import { DAY, SECOND } from '../time.js'
import type { LinkAdmission } from './admissions.js'

interface Options {
  library: Library
  signer: LinkSigner
  providers: VideoProviders
  /** 0: the view log is kept. */
  viewRetentionDays: number
  defaultSeconds: number
  maxSeconds: number
}

/** Where a media is played, and until when (`expiresAt` in milliseconds). */
export interface MintedLink extends Playback {
  expiresInSeconds: number
  expiresAt: number
}

export interface MintOptions {
  expiresInSeconds: number
  /** Where this server is reached, without a slash at the end. */
  origin: string
  /** The URL of an earlier link. The new link continues its view. */
  continues?: string | undefined
}

/** Mints links to streams, and finds where a hosted media is played. Links are signed: no row is written. */
export class PlaybackLinks {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Seconds for what a client asked for: a number, `auto` (one and a half times the duration, and ten minutes), or
   * nothing.
   */
  lifetime (asked: number | 'auto' | undefined, { durationMs }: Media): number {
    const { defaultSeconds, maxSeconds } = this.#options
    if (typeof asked === 'number') return asked
    if (asked === undefined || durationMs === null) return defaultSeconds
    return Math.min(maxSeconds, Math.ceil((1.5 * durationMs) / SECOND) + 600)
  }

  /**
   * Mints a link for someone who may watch. The generation is read again: a link minted right after a revocation by
   * another process must be valid. Throws `media_not_ready` for a protected media that cannot be played yet.
   */
  async mint (viewer: Viewer | undefined, { id }: Media, options: MintOptions): Promise<MintedLink> {
    const media = await this.#options.library.findNow(id)
    if (media === undefined) throw mediaNotFound()
    requireReady(media)
    return await this.sign(viewer, media, options)
  }

  /** Mints a link from a media that was just read: to its stream, or to its playlist if it is protected. */
  async sign (viewer: Viewer | undefined, media: Media, options: MintOptions): Promise<MintedLink> {
    const { signer, providers } = this.#options
    const { expiresInSeconds, origin, continues } = options
    const expiresAt = signer.expiresAt(expiresInSeconds)
    const subject = viewer?.id ?? ANONYMOUS
    const linkId = this.#continuedId(continues, media.id, subject, expiresAt) ?? signer.newId()
    const facts = { mediaId: media.id, expiresAt, generation: media.generation, linkId, subject }
    // Without its provider a media gets a URL of this server, which responds with the reason.
    const provider = providers[media.provider] ?? providers.local
    const playback =
      media.protection === 'encrypted'
        ? await provider.playback(media, facts, origin)
        : plainPlayback(media, signer.signQuery(facts), origin)
    return { ...playback, expiresInSeconds, expiresAt: expiresAt * SECOND }
  }

  /**
   * The id of the link that a new one continues. The log keeps the view that was counted under it for
   * `viewRetentionDays`. A link that outlived the row would be counted again, so it gets an id of its own.
   */
  #continuedId (
    continues: string | undefined,
    mediaId: string,
    subject: string,
    expiresAt: number
  ): string | undefined {
    const { signer, viewRetentionDays } = this.#options
    const id = signer.idOf(continues, mediaId, subject)
    const isKept =
      id !== undefined && (viewRetentionDays === 0 || expiresAt * SECOND <= linkBornAt(id) + viewRetentionDays * DAY)
    return isKept ? id : undefined
  }

  /**
   * Where an admitted media is played that another provider serves; undefined if this server does. Throws
   * `video_provider_missing`.
   */
  async hostedPlayback ({ media, link }: LinkAdmission, origin: string): Promise<Playback | undefined> {
    if (media.protection === 'none' || media.provider === 'local') return undefined
    const provider = this.#options.providers[media.provider]
    if (provider === undefined) throw new ApiError('video_provider_missing')
    return await provider.playback(media, link, origin)
  }

  /** The DRM licences for a URL of a hosted provider, by its token. An unknown media is an invalid token. */
  licencesFor (mediaId: string, token: string): Promise<DrmLicences | null> {
    const { library, providers } = this.#options
    return confirmRefusal(async (since) => {
      const media = await library.find(mediaId, since)
      const provider = media === undefined || media.provider === 'local' ? undefined : providers[media.provider]
      if (provider === undefined) throw new ApiError('stream_link_invalid')
      return await provider.licencesFor(media!, token)
    })
  }
}

function plainPlayback ({ id, posterBlob }: Media, query: string, origin: string): Playback {
  return {
    url: `${origin}/media/stream/${id}?${query}`,
    posterUrl: posterBlob === null ? null : `${origin}/media/${id}/poster.jpg?${query}`,
    drm: null
  }
}
