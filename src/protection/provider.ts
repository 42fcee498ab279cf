import type { Media } from '../media/schema.js'
import type { LinkFacts } from '../playback/link.js'

/** The absolute URLs of a protected media for one viewer. They expire with the link from which they were created. */
export interface Playback {
  url: string
  /** The URL of the poster. Null without a poster. */
  posterUrl: string | null
  drm: DrmLicences | null
}

/** The URLs of the DRM licences, and their token. The URLs already contain the token. */
export interface DrmLicences {
  token: string
  widevine: string
  playready: string
  fairplay: string
  fairplayCertificate: string
}

/** The service that makes and serves protected streams: this server (`local`), or Mux. A media keeps its provider. */
export interface VideoProvider {
  /** Runs the jobs of the provider until `stop`. `isOnlyInstance`: no other process runs them. */
  start(isOnlyInstance: boolean): Promise<void>
  /** Interrupts the running jobs. They run again later. */
  stop(): Promise<void>
  /** Returns the URLs of a media for the holder of `link`. `origin` is the origin of this server. It stores nothing. */
  playback(media: Media, link: LinkFacts, origin: string): Promise<Playback>
}

/** A provider whose streams do not pass through this server. */
export interface HostedVideoProvider extends VideoProvider {
  /**
   * Returns the DRM licences for a media URL of this server, by the token in it. They expire with the URL. Null without
   * DRM. **Throws** `stream_link_invalid` if the token is not valid for the media, and `stream_link_expired`.
   */
  licencesFor(media: Media, token: string): Promise<DrmLicences | null>
}

/** `mux` is undefined if no account is configured. There may still be media of Mux then. */
export interface VideoProviders {
  local: VideoProvider
  mux: HostedVideoProvider | undefined
}
