import type { Media } from '../../media/schema.js'
import type { LinkFacts } from '../../playback/link.js'
import type { LinkSigner } from '../../playback/link-signer.js'
import type { JobRunner } from '../../jobs/job-runner.js'
import type { Playback, VideoProvider } from '../provider.js'

interface Options {
  runner: JobRunner<'package'>
  signer: LinkSigner
}

/** Provides protected streams that this server packages and serves. */
export function createLocalProvider ({ runner, signer }: Options): VideoProvider {
  return {
    start: (isOnlyInstance) => runner.start(isOnlyInstance),
    stop: () => runner.stop(),
    playback: async (media, link, origin) => ownPlayback(media, link, origin, signer)
  }
}

/** Returns HLS URLs of this server. They respond with the reason if the media cannot be played. */
export function ownPlayback ({ id, posterBlob }: Media, link: LinkFacts, origin: string, signer: LinkSigner): Playback {
  const folder = `${origin}/hls/${signer.signToken(link)}/${id}`
  return { url: `${folder}/master.m3u8`, posterUrl: posterBlob === null ? null : `${folder}/poster.jpg`, drm: null }
}
