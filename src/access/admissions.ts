import type { Viewer } from '../accounts/schema.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { confirmRefusal, withFreshRecords } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'
import { ANONYMOUS, type LinkFacts, type LinkVerdict } from '../playback/link.js'
import type { LinkSigner } from '../playback/link-signer.js'
import { requireReady } from '../protection/protection.js'
import type { Access } from './permissions.js'

interface Options {
  access: Access
  library: Library
  signer: LinkSigner
}

/**
 * A media that may be watched now, by a link or by an account. `accountId` is the account of the link or of the token.
 */
export interface Admission {
  media: Media
  link: LinkFacts | undefined
  accountId: string | null
}

export type LinkAdmission = Admission & { link: LinkFacts }

/**
 * A further condition of a request, besides the right to watch. It throws if the condition is not met. `since` is the
 * argument of the check in {@link confirmRefusal}.
 */
export type Demand = (admission: Admission, since: number) => void | Promise<void>

interface AdmitOptions {
  demand?: Demand
  /** If true, reads the records again, because the response must not depend on cached records. */
  fresh?: boolean
}

const NOTHING: Demand = () => {}
const requireReadyMedia: Demand = ({ media }) => requireReady(media)

/** Requires a poster. **Throws** `not_found`. */
export const requirePoster: Demand = ({ media }) => {
  if (media.posterBlob === null) throw new ApiError('not_found')
}

/** Admits requests for streams, playlists and posters: by link, by token in a path, or by account. */
export class Admissions {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Verifies a link. **Throws** `stream_link_invalid` and `stream_link_expired` before the media is read. Then
   * **throws** `not_found`, and last `stream_link_revoked`.
   */
  admitLink (mediaId: string, query: string, demand: Demand = NOTHING): Promise<LinkAdmission> {
    return this.#admit(mediaId, this.#options.signer.verifyQuery(mediaId, query), { demand })
  }

  /**
   * Verifies a link to an uploaded file, which has a purpose of its own. **Throws** the errors of {@link admitLink},
   * and those of {@link requireOriginal}.
   */
  admitOriginalLink (mediaId: string, query: string): Promise<LinkAdmission> {
    const verdict = this.#options.signer.verifyQuery(mediaId, query, 'original')
    return this.#admit(mediaId, verdict, { demand: this.requireOriginal })
  }

  /** Verifies the token of an HLS path. **Throws** the errors of {@link admitLink}, and `media_not_ready`. */
  admitToken (mediaId: string, token: string, { fresh = false } = {}): Promise<LinkAdmission> {
    const verdict = this.#options.signer.verifyToken(mediaId, token)
    return this.#admit(mediaId, verdict, { demand: requireReadyMedia, fresh })
  }

  /** Admits an account. **Throws** `not_found` if it may not watch, or `not_authenticated` if a token might help. */
  admitViewer (viewer: Viewer | undefined, mediaId: string, demand: Demand = NOTHING): Promise<Admission> {
    return confirmRefusal(async (since) => {
      const { media } = await this.#options.access.visibleSince(viewer, mediaId, since)
      const admission = { media, link: undefined, accountId: viewer?.id ?? null }
      await demand(admission, since)
      return admission
    })
  }

  /**
   * Refuses the plain stream of a protected media. **Throws** `media_not_ready` until it is packaged, then
   * `media_protected` for everyone except its owner and administrators.
   */
  readonly requirePlain: Demand = async ({ media, accountId }, since) => {
    if (media.protection === 'none') return
    requireReady(media)
    if (!(await this.#options.access.accountMayChange(accountId, media, since))) throw new ApiError('media_protected')
  }

  /**
   * Admits only the owner and administrators to the uploaded file. **Throws** `not_found` for a media that is hosted
   * elsewhere. Then **throws** `not_owner` by token, and `stream_link_revoked` by link.
   */
  readonly requireOriginal: Demand = async ({ media, link, accountId }, since) => {
    if (media.blobName === null) throw mediaNotFound()
    if (await this.#options.access.accountMayChange(accountId, media, since)) return
    throw new ApiError(link === undefined ? 'not_owner' : 'stream_link_revoked')
  }

  /** Admits a verified link. A refusal is based on records that are read after this call. */
  async #admit (
    mediaId: string,
    verdict: LinkVerdict,
    { demand = NOTHING, fresh = false }: AdmitOptions
  ): Promise<LinkAdmission> {
    if (!verdict.ok) throw new ApiError(verdict.reason === 'expired' ? 'stream_link_expired' : 'stream_link_invalid')
    const { facts } = verdict
    const { library } = this.#options
    // Generations only increase, so this refusal needs no newer record.
    const known = await library.find(mediaId)
    if (known !== undefined && facts.generation < known.generation) throw new ApiError('stream_link_revoked')
    return await (fresh ? withFreshRecords : confirmRefusal)(async (since) => {
      const media = await library.find(mediaId, since)
      if (media === undefined) throw mediaNotFound()
      if (!(await this.#isValid(facts, media, since))) throw new ApiError('stream_link_revoked')
      const admission = { media, link: facts, accountId: facts.subject === ANONYMOUS ? null : facts.subject }
      await demand(admission, since)
      return admission
    })
  }

  async #isValid ({ generation, subject }: LinkFacts, media: Media, since: number): Promise<boolean> {
    if (generation !== media.generation) return false
    const { access } = this.#options
    return subject === ANONYMOUS
      ? await access.mayWatch(undefined, media, since)
      : await access.subjectMayWatch(subject, media, since)
  }
}
