import { openCaptions } from '../captions/open-captions.js'
import { createCourseRunner } from '../courses/course-runner.js'
import { sumsLock } from '../courses/course-sums.js'
import { findReserved } from '../grants/grant-store.js'
import { insertJob } from '../jobs/job-store.js'
import { describeJob, type Job } from '../jobs/job.js'
import { createDescriptionRunner } from '../media/description-runner.js'
import { Library } from '../media/library.js'
import { createProber, type Prober } from '../media/probe/probe.js'
import { Quota } from '../media/quota.js'
import { Intake } from '../media/uploads.js'
import type { Metrics } from '../monitoring/metrics.js'
import { LinkSigner } from '../playback/link-signer.js'
import { Ffmpeg } from '../protection/hls/ffmpeg.js'
import { createProtection, releaseMux, type Protection } from '../protection/protection.js'
import { openVideoProviders } from '../protection/video-providers.js'
import { createRenditionMaker } from '../renditions/rendition-maker.js'
import { Renditions } from '../renditions/renditions.js'
import { findReservedBytes } from '../uploads/upload-store.js'
import type { Foundation } from './foundation.js'
import type { People } from './people.js'

export type MediaServices = Awaited<ReturnType<typeof createMedia>>

/** Media from the upload to the package. */
export async function createMedia (base: Foundation & People & { metrics: Metrics }) {
  const { config, db, blobs, clock, log, metrics } = base
  const prober = base.overrides.prober ?? createProber()
  const onError = (err: unknown, job: Job | undefined) => {
    if (job !== undefined) metrics.jobFailures.inc({ kind: job.kind })
    log.warn({ err, ...describeJob(job) }, 'background job failed')
  }
  const courseRunner = createCourseRunner({ db, blobs, clock, onError })
  const renditions = new Renditions({ db, clock, isOn: config.transcode === 'compatible' })
  const library = new Library({
    db,
    clock,
    async release (trx, media) {
      await renditions.cancel(trx, media.id)
      await insertJob(trx, 'delete-media', media.id, clock.now())
      await releaseMux(trx, media, clock.now())
    },
    onReleased: () => courseRunner.wake()
  })
  const lockSums = sumsLock(clock)
  const onUnread = (files: number, err: unknown) => log.warn({ files, err }, 'failed to describe stored files')
  const descriptionRunner = createDescriptionRunner({
    ...base,
    prober,
    library,
    renditions,
    lockSums,
    onUnread,
    onError
  })
  const protections = createProtection({ db, blobs, library, renditions, provider: config.videoProvider, clock })
  const { quota, intake } = createIntake({ ...base, prober, protections, renditions })
  const signer = new LinkSigner(base.secrets.keyring('link'), clock)
  const { ffmpeg: given = new Ffmpeg(config.searchPath), muxTimes } = base.overrides
  const ffmpeg = given === false ? undefined : given
  const providers = await openVideoProviders({
    ...base,
    library,
    signer,
    keys: base.secrets.keyring('media'),
    lockSums,
    ffmpeg,
    muxTimes
  })
  const renditionMaker = createRenditionMaker({ ...base, library, renditions, ffmpeg })
  return {
    prober,
    courseRunner,
    descriptionRunner,
    library,
    protections,
    quota,
    intake,
    signer,
    providers,
    renditions,
    renditionMaker,
    ...openCaptions(base)
  }
}

/** The one way in of every file. */
function createIntake (base: Foundation & { prober: Prober; protections: Protection; renditions: Renditions }) {
  const { config, db, clock, protections, renditions } = base
  const quota = new Quota({
    db,
    quotaBytes: config.quotaBytes,
    findReservedBytes: async (db, ownerId) =>
      (await findReservedBytes(db, ownerId)) + (await findReserved(db, ownerId, clock.now())).bytes
  })
  const intake = new Intake({
    ...base,
    quota,
    maxUploadBytes: config.maxUploadBytes,
    provider: config.videoProvider,
    newRendition: (media) => renditions.first(media),
    async queue (trx, media) {
      await protections.queue(trx, media)
      await renditions.queue(trx, media)
    }
  })
  return { quota, intake }
}
