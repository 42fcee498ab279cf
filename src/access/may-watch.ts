import type { Accounts } from '../accounts/accounts.js'
import type { Viewer } from '../accounts/schema.js'
import type { Subscriptions } from '../courses/subscriptions.js'
import { ApiError } from '../errors.js'
import type { Library } from '../media/library.js'
import type { Media } from '../media/schema.js'

export type Access = ReturnType<typeof createAccess>

/** The one rule of who may see, watch and change what. Facts are at most a second old. */
export function createAccess ({ accounts, library, subscriptions }: { accounts: Accounts, library: Library, subscriptions: Subscriptions }) {
  /** Anyone if it is public; else its owner, administrators, and a student subscribed to a course that holds it. */
  async function mayWatch (viewer: Viewer | undefined, media: Media): Promise<boolean> {
    if (media.visibility === 'public' || mayChange(viewer, media)) return true
    return viewer?.role === 'student' && await subscriptions.coversMedia(viewer.id, media.id)
  }

  async function visible (viewer: Viewer | undefined, id: string): Promise<Media> {
    const media = await library.find(id)
    if (media !== undefined && await mayWatch(viewer, media)) return media
    throw new ApiError(viewer === undefined ? 'not_authenticated' : 'not_found')
  }

  return {
    mayWatch,

    /** A media that the viewer may watch. Else `not_found`, or `not_authenticated` without a viewer, whether it exists or not. */
    visible,

    /** A media that the viewer may change: `not_found` if they may not even see it, else `not_owner`. */
    async changeable (viewer: Viewer, id: string): Promise<Media> {
      const media = await visible(viewer, id)
      if (!mayChange(viewer, media)) throw new ApiError('not_owner')
      return media
    },

    /** Whether the account of a link or token is the owner's or an administrator's. */
    async accountMayChange (accountId: string | null, media: Media): Promise<boolean> {
      return accountId !== null && mayChange(await accounts.viewer(accountId), media)
    },

    /** Whether the one a link was minted for may still watch. */
    async subjectMayWatch (subject: string, media: Media): Promise<boolean> {
      const viewer = await accounts.viewer(subject)
      return viewer !== undefined && await mayWatch(viewer, media)
    }
  }
}

/** Whether someone is a media's owner, or an administrator. */
export function mayChange (viewer: Viewer | undefined, media: Media): boolean {
  return viewer !== undefined && (viewer.role === 'admin' || viewer.id === media.ownerId)
}
