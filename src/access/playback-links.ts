import { LRUCache } from 'lru-cache'
import type { Viewer } from '../accounts/schema.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { confirmRefusal, withFreshRecords } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'
import {
  ANONYMOUS,
  linkBornAt,
  linkIdOf,
  newLinkId,
  signLink,
  verifyLink,
  verifyToken,
  type LinkFacts,
  type LinkVerdict
} from '../playback/link.js'
import { requireReady } from '../protection/protection.js'
import type { DrmLicences, Playback, VideoProviders } from '../protection/provider.js'
import type { Keyring } from '../secrets/keyring.js'
import { DAY, SECOND, type Clock } from '../time.js'
import type { Access } from './permissions.js'

interface StreamGateOptions {
  access: Access
  library: Library
  keys: Keyring
  providers: VideoProviders
  clock: Clock
  /** 0: the log of views is kept. */
  viewRetentionDays: number
  defaultSeconds: number
  maxSeconds: number
}

/** A media that may be watched now: by a link, or else by whoever asked; `accountId` is the link's or theirs. */
export interface Admission {
  media: Media
  link: LinkFacts | undefined
  accountId: string | null
}

export type LinkAdmission = Admission & { link: LinkFacts }

/** What a request needs beside the right to watch; throws if it is not so. `since` is of {@link confirmRefusal}. */
export type Demand = (admission: Admission, since: number) => void | Promise<void>
const NOTHING: Demand = () => {}

interface AdmitOptions {
  demand?: Demand
  /** Reads the records again, for a response that a record from the cache would make wrong. */
  fresh?: boolean
}

/** Where a media is played, and until when (`expiresAt` in milliseconds). */
export interface MintedLink extends Playback {
  expiresInSeconds: number
  expiresAt: number
}

/** Some 5 MB. */
const MAX_GENUINE_LINKS = 10_000

export type StreamGate = ReturnType<typeof createStreamGate>

/** Hands out links to streams, and lets in who has one. */
export function createStreamGate ({
  access,
  library,
  keys,
  providers,
  clock,
  viewRetentionDays,
  defaultSeconds,
  maxSeconds
}: StreamGateOptions) {
  const genuine = new LRUCache<string, LinkFacts>({ max: MAX_GENUINE_LINKS })

  /**
   * Links that were minted before the last revocation: generations only rise, so that this refusal needs no newer
   * record.
   */
  const isOutdated = ({ generation }: LinkFacts, media: Media): boolean => generation < media.generation

  /**
   * Lets in a link, and what `demand` asks for beside it. A refusal comes from records that are read after this call.
   */
  async function admit (
    mediaId: string,
    verdict: LinkVerdict,
    { demand = NOTHING, fresh = false }: AdmitOptions
  ): Promise<LinkAdmission> {
    if (!verdict.ok) throw new ApiError(verdict.reason === 'expired' ? 'stream_link_expired' : 'stream_link_invalid')
    const { facts } = verdict
    const known = await library.find(mediaId)
    if (known !== undefined && isOutdated(facts, known)) throw new ApiError('stream_link_revoked')
    return await (fresh ? withFreshRecords : confirmRefusal)(async (since) => {
      const media = await library.find(mediaId, since)
      if (media === undefined) throw mediaNotFound()
      if (!(await isGood(facts, media, since))) throw new ApiError('stream_link_revoked')
      const admission = { media, link: facts, accountId: facts.subject === ANONYMOUS ? null : facts.subject }
      await demand(admission, since)
      return admission
    })
  }

  async function isGood (facts: LinkFacts, media: Media, since: number): Promise<boolean> {
    if (facts.generation !== media.generation) return false
    return facts.subject === ANONYMOUS
      ? await access.mayWatch(undefined, media, since)
      : await access.subjectMayWatch(facts.subject, media, since)
  }

  /**
   * {@link verifyLink}, once for each genuine link: a player sends the same one with every range. What is kept is the
   * whole text that was signed and what it says; when it ends is asked each time, and so is, above, whether its subject
   * may still watch.
   */
  function judge (mediaId: string, query: string): LinkVerdict {
    const text = `${mediaId}?${query}`
    const known = genuine.get(text)
    if (known !== undefined) {
      return known.expiresAt * SECOND > clock.now() ? { ok: true, facts: known } : { ok: false, reason: 'expired' }
    }
    const verdict = verifyLink(mediaId, query, 'stream', keys, clock.now())
    if (verdict.ok) genuine.set(text, verdict.facts)
    return verdict
  }

  /**
   * The id of the link that a new one goes on for. The log holds the view that was counted under it for
   * `viewRetentionDays`; a link that outlived the row would be counted again, so it gets an id of its own.
   */
  function continuedId (
    continues: string | undefined,
    mediaId: string,
    subject: string,
    expiresAt: number
  ): string | undefined {
    const id = linkIdOf(continues, mediaId, subject, keys)
    const isKept =
      id !== undefined && (viewRetentionDays === 0 || expiresAt * SECOND <= linkBornAt(id) + viewRetentionDays * DAY)
    return isKept ? id : undefined
  }

  /**
   * Mints a link from a media that was read just now: to its stream, or to its playlist if it is protected. `origin` is
   * where this server is reached.
   */
  async function sign (
    viewer: Viewer | undefined,
    media: Media,
    expiresInSeconds: number,
    origin: string,
    continues?: string
  ): Promise<MintedLink> {
    const expiresAt = Math.floor(clock.now() / SECOND) + expiresInSeconds
    const subject = viewer?.id ?? ANONYMOUS
    const facts = {
      mediaId: media.id,
      expiresAt,
      generation: media.generation,
      linkId: continuedId(continues, media.id, subject, expiresAt) ?? newLinkId(clock.now()),
      subject
    }
    // A media whose provider is missing gets an address of this server, which says so.
    const provider = providers[media.provider] ?? providers.local
    const playback =
      media.protection === 'encrypted'
        ? await provider.playback(media, facts, origin)
        : plainPlayback(media, signLink(facts, 'stream', keys), origin)
    return { ...playback, expiresInSeconds, expiresAt: expiresAt * SECOND }
  }

  return {
    /**
     * Seconds for what a client asked for: a number, `auto` (one and a half times the length, and ten minutes), or
     * nothing.
     */
    lifetime (asked: number | 'auto' | undefined, media: Media): number {
      if (asked === undefined || (asked === 'auto' && media.durationMs === null)) return defaultSeconds
      return asked === 'auto' ? Math.min(maxSeconds, Math.ceil((1.5 * media.durationMs!) / SECOND) + 600) : asked
    },

    /**
     * Mints a link for someone who may watch; no row is written. The generation is read afresh: a link made right after
     * a revocation by another process must live. Throws `media_not_ready` for a protected media that can't be played
     * yet. What goes on for an earlier link (`continues`) is the same view as that.
     */
    async mint (
      viewer: Viewer | undefined,
      { id }: Media,
      expiresInSeconds: number,
      origin: string,
      continues?: string
    ): Promise<MintedLink> {
      const media = await library.findNow(id)
      if (media === undefined) throw mediaNotFound()
      requireReady(media)
      return await sign(viewer, media, expiresInSeconds, origin, continues)
    },

    sign,

    /**
     * Judges a link : `stream_link_invalid` and `stream_link_expired` before any look at the media, then
     * `not_found`, then `stream_link_revoked`.
     */
    admitLink: (mediaId: string, query: string, demand: Demand = NOTHING): Promise<LinkAdmission> =>
      admit(mediaId, judge(mediaId, query), { demand }),

    /**
     * Judges the token of an HLS path as {@link admitLink} judges a link; the media is ready then. Throws
     * `media_not_ready` too.
     */
    admitToken: (mediaId: string, token: string, { fresh = false } = {}): Promise<LinkAdmission> =>
      admit(mediaId, verifyToken(mediaId, token, 'hls', keys, clock.now()), { demand: requireReadyMedia, fresh }),

    /**
     * Where an admitted media is played that this server does not serve itself; undefined if it does. Throws
     * `video_provider_missing`.
     */
    async hostedPlayback ({ media, link }: LinkAdmission, origin: string): Promise<Playback | undefined> {
      if (media.protection === 'none' || media.provider === 'local') return undefined
      const provider = providers[media.provider]
      if (provider === undefined) throw new ApiError('video_provider_missing')
      return await provider.playback(media, link, origin)
    },

    /**
     * What goes with the address of a media at another provider, for a player that was handed it: see `licencesFor` of
     * a hosted provider. Whether the media exists is not told.
     */
    licencesFor: (mediaId: string, token: string): Promise<DrmLicences | null> =>
      confirmRefusal(async (since) => {
        const media = await library.find(mediaId, since)
        const provider = media === undefined || media.provider === 'local' ? undefined : providers[media.provider]
        if (provider === undefined) throw new ApiError('stream_link_invalid')
        return await provider.licencesFor(media!, token)
      }),

    /**
     * A demand: the plain stream of a protected media is closed. `media_not_ready` for all until it is packaged, then
     * `media_protected` but for owner and admin.
     */
    async requirePlain ({ media, accountId }: Admission, since: number): Promise<void> {
      if (media.protection === 'none') return
      requireReady(media)
      if (!(await access.accountMayChange(accountId, media, since))) throw new ApiError('media_protected')
    },

    /** A demand: a picture is there. Throws `not_found`. */
    requirePoster ({ media }: Admission): void {
      if (media.posterBlob === null) throw new ApiError('not_found')
    },

    /** Lets in whoever may watch: `not_found` if they may not, `not_authenticated` if a token might help. */
    admitViewer: (viewer: Viewer | undefined, mediaId: string, demand: Demand = NOTHING): Promise<Admission> =>
      confirmRefusal(async (since) => {
        const { media } = await access.visibleSince(viewer, mediaId, since)
        const admission = { media, link: undefined, accountId: viewer?.id ?? null }
        await demand(admission, since)
        return admission
      })
  }
}

const requireReadyMedia: Demand = ({ media }) => requireReady(media)

function plainPlayback ({ id, posterBlob }: Media, query: string, origin: string): Playback {
  return {
    url: `${origin}/media/stream/${id}?${query}`,
    posterUrl: posterBlob === null ? null : `${origin}/media/${id}/poster.jpg?${query}`,
    drm: null
  }
}
