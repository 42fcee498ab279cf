import type { Accounts } from '../accounts/accounts.js'
import type { Viewer } from '../accounts/schema.js'
import type { Subscriptions } from '../courses/subscriptions.js'
import { ApiError, mediaNotFound } from '../errors.js'
import { ANY_AGE, confirmRefusal } from '../cache/record-cache.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'

export type Access = ReturnType<typeof createAccess>

/**
 * The one rule of who may see, watch and change what, on records at most a second old. `since` is what
 * {@link confirmRefusal} hands on; what takes none confirms its refusals itself.
 */
export function createAccess ({
  accounts,
  library,
  subscriptions
}: {
  accounts: Accounts
  library: Library
  subscriptions: Subscriptions
}) {
  /** Anyone if it is public; else its owner, administrators, and a student subscribed to a course that holds it. */
  async function mayWatch (viewer: Viewer | undefined, media: Media, since: number): Promise<boolean> {
    if (media.visibility === 'public' || mayChange(viewer, media)) return true
    return viewer?.role === 'student' && (await subscriptions.coversMedia(viewer.id, media.id, since))
  }

  /** As {@link visible}. A viewer's role may have changed too. */
  async function visibleSince (
    viewer: Viewer | undefined,
    id: string,
    since: number
  ): Promise<{ viewer: Viewer | undefined; media: Media }> {
    const current = viewer === undefined || since === ANY_AGE ? viewer : await accounts.viewer(viewer.id, since)
    const media = await library.find(id, since)
    if (media !== undefined && (await mayWatch(current, media, since))) return { viewer: current, media }
    throw viewer === undefined ? new ApiError('not_authenticated') : mediaNotFound()
  }

  return {
    mayWatch,
    visibleSince,

    /**
     * A media that the viewer may watch. Else `not_found`, or `not_authenticated` without a viewer, whether it exists
     * or not.
     */
    visible: async (viewer: Viewer | undefined, id: string): Promise<Media> => {
      return (await confirmRefusal((since) => visibleSince(viewer, id, since))).media
    },

    /** A media that the viewer may change: `not_found` if they may not even see it, else `not_owner`. */
    changeable: (viewer: Viewer, id: string): Promise<Media> =>
      confirmRefusal(async (since) => {
        const { viewer: current, media } = await visibleSince(viewer, id, since)
        if (!mayChange(current, media)) throw new ApiError('not_owner')
        return media
      }),

    /** Whether the account of a link or token is the owner's or an administrator's. */
    async accountMayChange (accountId: string | null, media: Media, since: number): Promise<boolean> {
      return accountId !== null && mayChange(await accounts.viewer(accountId, since), media)
    },

    /** Whether the account that a link was minted for may still watch. */
    async subjectMayWatch (subject: string, media: Media, since: number): Promise<boolean> {
      const viewer = await accounts.viewer(subject, since)
      return viewer !== undefined && (await mayWatch(viewer, media, since))
    }
  }
}

/** Whether someone is a media's owner, or an administrator. */
export function mayChange (viewer: Viewer | undefined, media: Media): boolean {
  return viewer !== undefined && (viewer.role === 'admin' || viewer.id === media.ownerId)
}
