import type { Media } from '../media/schema.js'
import type { LinkFacts } from '../playback/link.js'

/**
 * What a protected media is played by. Absolute addresses, minted for one viewer; they end when the link does they were
 * minted from.
 */
export interface Playback {
  url: string
  /** A picture; null where there is none. */
  posterUrl: string | null
  drm: DrmLicences | null
}

/** Where a player gets the licences of a DRM, and the token that opens them; the addresses carry it already. */
export interface DrmLicences {
  token: string
  widevine: string
  playready: string
  fairplay: string
  fairplayCertificate: string
}

/**
 * Who makes and serves the protected streams of media: this server (`local`), or Mux. A media keeps the one it was made
 * with.
 */
export interface VideoProvider {
  /** Runs its jobs until `stop`. `isOnlyInstance`: no other process does. */
  start(isOnlyInstance: boolean): Promise<void>
  /** Interrupts the running jobs. They run again later. */
  stop(): Promise<void>
  /**
   * Where a media is played by whoever `link` is for. `origin` is where this server is reached. Writes and stores
   * nothing.
   */
  playback(media: Media, link: LinkFacts, origin: string): Promise<Playback>
}

/** One whose streams this server never sees. */
export interface HostedVideoProvider extends VideoProvider {
  /**
   * What goes with an address of a media that this server has minted, by the token in it: the DRM's licences, until the
   * address ends; null for one without DRM. Throws `stream_link_invalid` for what is no token of this media, and
   * `stream_link_expired`.
   */
  licencesFor(media: Media, token: string): Promise<DrmLicences | null>
}

/** `mux` is undefined where no account is set up; media may be there all the same. */
export interface VideoProviders {
  local: VideoProvider
  mux: HostedVideoProvider | undefined
}
