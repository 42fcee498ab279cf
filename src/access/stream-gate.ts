import { LRUCache } from 'lru-cache'
import type { Viewer } from '../accounts/schema.js'
import { ApiError } from '../errors.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'
import { ANONYMOUS, newLinkId, signLink, signToken, verifyLink, verifyToken, type LinkFacts, type LinkVerdict } from '../playback/link.js'
import { isPackaged, requireReady, type PackagedMedia } from '../protection/protection.js'
import type { Keyring } from '../secrets.js'
import { SECOND, type Clock } from '../time.js'
import type { Access } from './may-watch.js'

interface StreamGateOptions {
  access: Access
  library: Library
  keys: Keyring
  now: Clock
  defaultSeconds: number
  maxSeconds: number
}

/** A media that may be watched now: by a link, or else by whoever asked; `accountId` is the link's or theirs. */
export interface Admission { media: Media, link: LinkFacts | undefined, accountId: string | null }

/** `path` and `posterPath` (null where there is no picture) begin at the root of the origin; `expiresAt` in milliseconds. */
export interface MintedLink { path: string, posterPath: string | null, expiresInSeconds: number, expiresAt: number }

/** Some 5 MB. */
const MAX_GENUINE_LINKS = 10_000

export type StreamGate = ReturnType<typeof createStreamGate>

/** Hands out links to streams, and lets in who has one. */
export function createStreamGate ({ access, library, keys, now, defaultSeconds, maxSeconds }: StreamGateOptions) {
  const genuine = new LRUCache<string, LinkFacts>({ max: MAX_GENUINE_LINKS })

  async function admit (mediaId: string, verdict: LinkVerdict): Promise<Admission> {
    if (!verdict.ok) throw new ApiError(verdict.reason === 'expired' ? 'stream_link_expired' : 'stream_link_invalid')
    const { facts } = verdict
    const media = await library.find(mediaId)
    if (media === undefined) throw new ApiError('not_found')
    const allowed = facts.generation === media.generation &&
      (facts.subject === ANONYMOUS ? await access.mayWatch(undefined, media) : await access.subjectMayWatch(facts.subject, media))
    if (!allowed) throw new ApiError('stream_link_revoked')
    return { media, link: facts, accountId: facts.subject === ANONYMOUS ? null : facts.subject }
  }

  /**
   * {@link verifyLink}, once for each genuine link: a player sends the same one with every range. What is kept is the whole text that was signed and
   * what it says; when it ends is asked each time, and so is, above, whether its subject may still watch.
   */
  function judge (mediaId: string, query: string): LinkVerdict {
    const text = `${mediaId}?${query}`
    const known = genuine.get(text)
    if (known !== undefined) return known.expiresAt * SECOND > now() ? { ok: true, facts: known } : { ok: false, reason: 'expired' }
    const verdict = verifyLink(mediaId, query, 'stream', keys, now())
    if (verdict.ok) genuine.set(text, verdict.facts)
    return verdict
  }

  /** Mints a link from a media that was read just now: to its stream, or to its playlist if it is protected. */
  function sign (viewer: Viewer | undefined, media: Media, expiresInSeconds: number): MintedLink {
    const expiresAt = Math.floor(now() / SECOND) + expiresInSeconds
    const subject = viewer?.id ?? ANONYMOUS
    const facts = { mediaId: media.id, expiresAt, generation: media.generation, linkId: newLinkId(), subject }
    const [path, posterPath] = media.protection === 'encrypted'
      ? protectedPaths(media.id, signToken(facts, 'hls', keys))
      : plainPaths(media.id, signLink(facts, 'stream', keys))
    return { path, posterPath: media.posterBlob === null ? null : posterPath, expiresInSeconds, expiresAt: expiresAt * SECOND }
  }

  return {
    /** Seconds for what a client asked for: a number, `auto` (one and a half times the length, and ten minutes), or nothing. */
    lifetime (asked: number | 'auto' | undefined, media: Media): number {
      if (asked === undefined || (asked === 'auto' && media.durationMs === null)) return defaultSeconds
      return asked === 'auto' ? Math.min(maxSeconds, Math.ceil(1.5 * media.durationMs! / SECOND) + 600) : asked
    },

    /**
     * Mints a link for someone who may watch; no row is written. `path` begins at the root of the origin. The generation is read
     * afresh: a link made right after a revocation by another process must live. Throws `media_not_ready` for a protected media that can't
     * be played yet.
     */
    async mint (viewer: Viewer | undefined, { id }: Media, expiresInSeconds: number): Promise<MintedLink> {
      const media = await library.findNow(id)
      if (media === undefined) throw new ApiError('not_found')
      requireReady(media)
      return sign(viewer, media, expiresInSeconds)
    },

    sign,

    /**
     * Judges a link (CONTRACT §4): `stream_link_invalid` and `stream_link_expired` before any look at the media, then
     * `not_found`, then `stream_link_revoked`.
     */
    admitLink: (mediaId: string, query: string): Promise<Admission> => admit(mediaId, judge(mediaId, query)),

    /** Judges the token of an HLS path as {@link admitLink} judges a link; the media is packaged then. Throws `media_not_ready` too. */
    async admitToken (mediaId: string, token: string): Promise<Admission & { media: PackagedMedia }> {
      const admission = await admit(mediaId, verifyToken(mediaId, token, 'hls', keys, now()))
      requireReady(admission.media)
      if (!isPackaged(admission.media)) throw new ApiError('not_found')
      return { ...admission, media: admission.media }
    },

    /** The plain stream of a protected media is closed: `media_not_ready` for all until it is packaged, then `media_protected` but for owner and admin. */
    async requirePlain ({ media, accountId }: Admission): Promise<void> {
      if (media.protection === 'none') return
      requireReady(media)
      if (!await access.accountMayChange(accountId, media)) throw new ApiError('media_protected')
    },

    /** Lets in whoever may watch: `not_found` if they may not, `not_authenticated` if a token might help. */
    async admitViewer (viewer: Viewer | undefined, mediaId: string): Promise<Admission> {
      return { media: await access.visible(viewer, mediaId), link: undefined, accountId: viewer?.id ?? null }
    }
  }
}

type Paths = [stream: string, poster: string]

function protectedPaths (id: string, token: string): Paths {
  return [`/hls/${token}/${id}/master.m3u8`, `/hls/${token}/${id}/poster.jpg`]
}

function plainPaths (id: string, query: string): Paths {
  return [`/media/stream/${id}?${query}`, `/media/${id}/poster.jpg?${query}`]
}
