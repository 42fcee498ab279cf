import type { Accounts } from '../accounts/accounts.js'
import type { Viewer } from '../accounts/schema.js'
import type { Subscriptions } from '../courses/subscriptions.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { ANY_AGE, confirmRefusal } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'

interface Options {
  accounts: Accounts
  library: Library
  subscriptions: Subscriptions
}

/**
 * The only rules about who may see, watch and change media, on records that are at most a second old. `since` is the
 * argument of the check in {@link confirmRefusal}. Methods without `since` confirm their refusals themselves.
 */
export class Access {
  readonly #accounts: Accounts
  readonly #library: Library
  readonly #subscriptions: Subscriptions

  constructor ({ accounts, library, subscriptions }: Options) {
    this.#accounts = accounts
    this.#library = library
    this.#subscriptions = subscriptions
  }

  /**
   * Returns true for everyone if the media is public. Otherwise returns true for its owner, for administrators, and for
   * students who are subscribed to a course that contains it.
   */
  async mayWatch (viewer: Viewer | undefined, media: Media, since: number): Promise<boolean> {
    if (media.visibility === 'public' || mayChange(viewer, media)) return true
    return viewer?.role === 'student' && (await this.#subscriptions.coversMedia(viewer.id, media.id, since))
  }

  /**
   * Returns a media that the viewer may watch. Otherwise **throws** `not_found`, or `not_authenticated` without a
   * viewer, whether the media exists or not.
   */
  async visible (viewer: Viewer | undefined, id: string): Promise<Media> {
    return (await confirmRefusal((since) => this.visibleSince(viewer, id, since))).media
  }

  /**
   * Resolves like {@link visible}, on records that are read after `since`. The viewer is read again too, because the
   * role may have changed.
   */
  async visibleSince (
    viewer: Viewer | undefined,
    id: string,
    since: number
  ): Promise<{ viewer: Viewer | undefined; media: Media }> {
    const current = viewer === undefined || since === ANY_AGE ? viewer : await this.#accounts.viewer(viewer.id, since)
    const media = await this.#library.find(id, since)
    if (media !== undefined && (await this.mayWatch(current, media, since))) return { viewer: current, media }
    throw viewer === undefined ? new ApiError('not_authenticated') : mediaNotFound()
  }

  /**
   * Returns a media that the viewer may change. **Throws** `not_found` if the viewer may not watch it, else
   * `not_owner`.
   */
  changeable (viewer: Viewer, id: string): Promise<Media> {
    return confirmRefusal(async (since) => {
      const { viewer: current, media } = await this.visibleSince(viewer, id, since)
      if (!mayChange(current, media)) throw new ApiError('not_owner')
      return media
    })
  }

  /** Returns true if the account of a link or token is the owner or an administrator. */
  async accountMayChange (accountId: string | null, media: Media, since: number): Promise<boolean> {
    return accountId !== null && mayChange(await this.#accounts.viewer(accountId, since), media)
  }

  /** Returns true if the account of a link may still watch. */
  async subjectMayWatch (subject: string, media: Media, since: number): Promise<boolean> {
    const viewer = await this.#accounts.viewer(subject, since)
    return viewer !== undefined && (await this.mayWatch(viewer, media, since))
  }
}

/** Returns true if the viewer is the owner of the media or an administrator. */
export function mayChange (viewer: Viewer | undefined, media: Media): boolean {
  return viewer !== undefined && (viewer.role === 'admin' || viewer.id === media.ownerId)
}
