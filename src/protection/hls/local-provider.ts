import type { Media } from '../../media/schema.js'
import { signToken, type LinkFacts } from '../../playback/link.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { JobRunner } from '../../jobs/job-runner.js'
import type { Playback, VideoProvider } from '../provider.js'

/** Protected streams that this server packages and serves itself. */
export function createLocalProvider ({ runner, keys }: { runner: JobRunner<'package'>; keys: Keyring }): VideoProvider {
  return {
    start: (isOnlyInstance) => runner.start(isOnlyInstance),
    stop: () => runner.stop(),
    playback: async (media, link, origin) => ownPlayback(media, link, origin, keys)
  }
}

/** An HLS address of this server, which says in words what keeps a media from being played. */
export function ownPlayback ({ id, posterBlob }: Media, link: LinkFacts, origin: string, keys: Keyring): Playback {
  const folder = `${origin}/hls/${signToken(link, 'hls', keys)}/${id}`
  return { url: `${folder}/master.m3u8`, posterUrl: posterBlob === null ? null : `${folder}/poster.jpg`, drm: null }
}
