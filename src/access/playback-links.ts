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
  /** 0: the view log is kept forever. */
  viewRetentionDays: number
  defaultSeconds: number
  maxSeconds: number
}

/** The URL at which a media is played, and its expiry (`expiresAt` in milliseconds). */
export interface MintedLink extends Playback {
  expiresInSeconds: number
  expiresAt: number
}

/** The URL of an uploaded file, and its expiry (`expiresAt` in milliseconds). */
export type OriginalLink = Pick<MintedLink, 'url' | 'expiresInSeconds' | 'expiresAt'>

export interface MintOptions {
  expiresInSeconds: number
  /** The URL of this server, without a slash at the end. */
  origin: string
  /** The URL of an earlier link. The new link continues its view. */
  continues?: string | undefined
}

/** Mints links to streams, and finds the playback URL of a hosted media. Links are signed, so no row is written. */
export class PlaybackLinks {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Returns the lifetime of a link in seconds. `asked` is a number, `auto` (one and a half times the duration, plus ten
   * minutes), or undefined for the default.
   */
  lifetime (asked: number | 'auto' | undefined, { durationMs }: Media): number {
    const { defaultSeconds, maxSeconds } = this.#options
    if (typeof asked === 'number') return asked
    if (asked === undefined || durationMs === null) return defaultSeconds
    return Math.min(maxSeconds, Math.ceil((1.5 * durationMs) / SECOND) + 600)
  }

  /**
   * Mints a link for a viewer who may watch. Reads the generation again, so that the link is valid right after a
   * revocation by another process. **Throws** `media_not_ready` for a protected media that cannot be played yet.
   */
  async mint (viewer: Viewer | undefined, { id }: Media, options: MintOptions): Promise<MintedLink> {
    const media = await this.#options.library.findNow(id)
    if (media === undefined) throw mediaNotFound()
    requireReady(media)
    return await this.sign(viewer, media, options)
  }

  /**
   * Mints a link to the uploaded file, for its owner or an administrator. The link opens nothing else. **Throws**
   * `not_found` for a media that is hosted elsewhere.
   */
  async mintOriginal (viewer: Viewer, { id }: Media, options: Omit<MintOptions, 'continues'>): Promise<OriginalLink> {
    const media = await this.#options.library.findNow(id)
    if (media === undefined || media.blobName === null) throw mediaNotFound()
    const { signer } = this.#options
    const { expiresInSeconds, origin } = options
    const expiresAt = signer.expiresAt(expiresInSeconds)
    const { generation } = media
    const facts = { mediaId: id, expiresAt, generation, linkId: signer.newId(), subject: viewer.id }
    const url = `${origin}/media/${id}/original?${signer.signQuery(facts, 'original')}`
    return { url, expiresInSeconds, expiresAt: expiresAt * SECOND }
  }

  /** Mints a link for a media that was just read: to its playlist if it is protected, else to its stream. */
  async sign (viewer: Viewer | undefined, media: Media, options: MintOptions): Promise<MintedLink> {
    const { signer, providers } = this.#options
    const { expiresInSeconds, origin, continues } = options
    const expiresAt = signer.expiresAt(expiresInSeconds)
    const subject = viewer?.id ?? ANONYMOUS
    const linkId = this.#continuedId(continues, media.id, subject, expiresAt) ?? signer.newId()
    const facts = { mediaId: media.id, expiresAt, generation: media.generation, linkId, subject }
    // If its provider is not configured, a media gets a URL of this server, whose response states the reason.
    const provider = providers[media.provider] ?? providers.local
    const playback =
      media.protection === 'encrypted'
        ? await provider.playback(media, facts, origin)
        : plainPlayback(media, signer.signQuery(facts), origin)
    return { ...playback, expiresInSeconds, expiresAt: expiresAt * SECOND }
  }

  /**
   * Returns the id of the link that a new link continues. The log keeps the counted view of that id for
   * `viewRetentionDays`. A link that outlives this row gets its own id, because its view would be counted again.
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
   * Returns the playback of an admitted media at another provider; undefined if this server plays it. **Throws**
   * `video_provider_missing`.
   */
  async hostedPlayback ({ media, link }: LinkAdmission, origin: string): Promise<Playback | undefined> {
    if (media.protection === 'none' || media.provider === 'local') return undefined
    const provider = this.#options.providers[media.provider]
    if (provider === undefined) throw new ApiError('video_provider_missing')
    return await provider.playback(media, link, origin)
  }

  /**
   * Returns the DRM licences of a hosted media, authorized by the token of its URL. **Throws** `stream_link_invalid`
   * for an unknown media too.
   */
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
