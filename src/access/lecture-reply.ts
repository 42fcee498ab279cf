import type { Static } from '@sinclair/typebox'
import type { Viewer } from '../accounts/schema.js'
import type { LectureWithMedia } from '../courses/lectures.js'
import type { LectureReply } from '../courses/schema.js'
import { isPlayable } from '../protection/protection.js'
import { drmReply } from '../protection/schema.js'
import { SECOND, isoTime } from '../time.js'
import type { PlaybackLinks } from './playback-links.js'

const UNPLAYABLE = { url: null, posterUrl: null, drm: null }

export type LectureUrls = ReturnType<typeof createLectureUrls>

/**
 * Converts lectures to replies. A reply contains a playback URL that is minted for this viewer and lasts for one
 * sitting.
 */
export function createLectureUrls (links: PlaybackLinks) {
  return {
    /**
     * Converts a lecture for a viewer who may watch it. The media must have been read immediately before. `origin` is
     * the URL of this server. An API key without the scope `links` gets no URL.
     */
    async reply (
      { lecture, media }: LectureWithMedia,
      viewer: Viewer,
      origin: string
    ): Promise<Static<typeof LectureReply>> {
      const { url, posterUrl, drm } = isPlayable(media) && mayMint(viewer)
        ? await links.sign(viewer, media, { expiresInSeconds: links.lifetime('auto', media), origin })
        : UNPLAYABLE
      const atMux = media.provider === 'mux'
      return {
        id: lecture.id,
        title: lecture.title,
        description: lecture.description,
        media_id: media.id,
        asset_id: atMux ? (media.mux?.assetId ?? null) : media.id,
        playback_id: atMux ? (media.mux?.playbackId ?? null) : media.id,
        url,
        poster_url: posterUrl,
        drm: drm === null ? undefined : drmReply(drm),
        duration: (media.durationMs ?? 0) / SECOND,
        category: lecture.category,
        subcategory: lecture.subcategory,
        course_id: lecture.courseId,
        position: lecture.position,
        status: media.status,
        error: media.error ?? undefined,
        created_at: isoTime(lecture.createdAt),
        updated_at: isoTime(lecture.updatedAt)
      }
    }
  }
}

function mayMint ({ scopes }: Viewer): boolean {
  return scopes === undefined || scopes.includes('links')
}
