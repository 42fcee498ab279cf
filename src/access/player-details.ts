import type { Captions } from '../captions/captions.js'
import type { Chapters } from '../captions/chapters.js'
import type { CaptionTrack } from '../captions/schema.js'
import type { Media } from '../media/schema.js'

/** The address of each file of a media for one viewer, by the viewer's link. */
export interface FileUrls {
  poster(): string
  captions(language: string): string
  chapters(): string
}

/** What a player shows around a media. */
export interface PlayerDetails {
  media: Media
  posterUrl: string | null
  captions: Array<CaptionTrack & { url: string }>
  chaptersUrl: string | null
}

interface Options {
  captions: Captions
  chapters: Chapters
}

/** Returns the URLs of files beside a plain stream. `query` is that of the link; it may be empty. */
export function plainFileUrls (origin: string, mediaId: string, query: string): FileUrls {
  const urlOf = (path: string) => `${origin}/media/${mediaId}/${path}${query === '' ? '' : `?${query}`}`
  return {
    poster: () => urlOf('poster.jpg'),
    captions: (language) => urlOf(`captions/${language}.vtt`),
    chapters: () => urlOf('chapters.vtt')
  }
}

/** Returns the URLs of files beside a playlist. */
export function packageFileUrls (origin: string, mediaId: string, token: string): FileUrls {
  const folder = `${origin}/hls/${token}/${mediaId}`
  return {
    poster: () => `${folder}/poster.jpg`,
    captions: (language) => `${folder}/captions-${language}.vtt`,
    chapters: () => `${folder}/chapters.vtt`
  }
}

/** Reads what a player shows around a media, for a viewer who was admitted. */
export class PlayerDetailsReader {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  async of (media: Media, urls: FileUrls): Promise<PlayerDetails> {
    const { captions, chapters } = this.#options
    const [tracks, list] = await Promise.all([captions.list(media.id), chapters.list(media.id)])
    return {
      media,
      posterUrl: media.posterBlob === null ? null : urls.poster(),
      captions: tracks.map((track) => ({ ...track, url: urls.captions(track.language) })),
      chaptersUrl: list.length === 0 ? null : urls.chapters()
    }
  }
}
