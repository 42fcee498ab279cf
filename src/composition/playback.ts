import { Admissions } from '../access/admissions.js'
import { createLectureUrls } from '../access/lecture-reply.js'
import { Access } from '../access/permissions.js'
import { PlaybackLinks } from '../access/playback-links.js'
import { PlayerDetailsReader } from '../access/player-details.js'
import { createPackageIndexes } from '../protection/hls/package-indexes.js'
import type { Foundation } from './foundation.js'
import type { MediaServices } from './media.js'
import type { People } from './people.js'
import type { Teaching } from './teaching.js'

/** Who may watch, and the links that let them. */
export function createPlayback (base: Foundation & People & MediaServices & Teaching) {
  const { config, db, blobs, log, secrets, accounts, library, signer, subscriptions, providers } = base
  const access = new Access({ accounts, library, subscriptions })
  const indexes = createPackageIndexes({
    db,
    blobs,
    keys: secrets.keyring('media'),
    onFault: (err, id) => log.warn({ err, media_id: id }, 'failed to read the index of a package')
  })
  const links = new PlaybackLinks({
    library,
    signer,
    providers,
    viewRetentionDays: config.viewRetentionDays,
    defaultSeconds: config.streamTokenSeconds,
    maxSeconds: config.streamTokenMaxSeconds
  })
  const admissions = new Admissions({ access, library, signer })
  const details = new PlayerDetailsReader(base)
  return { access, indexes, admissions, links, details, lectureUrls: createLectureUrls(links) }
}
