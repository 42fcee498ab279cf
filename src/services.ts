import { AccessReview } from './access/access-review.js'
import { createLectureUrls } from './access/lecture-reply.js'
import { Access } from './access/permissions.js'
import { Admissions } from './access/admissions.js'
import { PlaybackLinks } from './access/playback-links.js'
import { PlayerDetailsReader } from './access/player-details.js'
import { Accounts } from './accounts/accounts.js'
import { ApiKeys } from './accounts/api-keys.js'
import { createPasswordHasher, type HashWorkers } from './accounts/passwords.js'
import { PasswordResets } from './accounts/password-resets.js'
import { Sessions } from './accounts/sessions.js'
import type { Config } from './config/config.js'
import { openCaptions } from './captions/open-captions.js'
import { createCourseRunner } from './courses/course-runner.js'
import { sumsLock } from './courses/course-sums.js'
import { Courses } from './courses/courses.js'
import { LectureBatch } from './courses/lecture-batch.js'
import { Lectures } from './courses/lectures.js'
import { ProgressReports } from './courses/progress.js'
import { Subscriptions } from './courses/subscriptions.js'
import type { Kysely } from 'kysely'
import type { DamageWatch } from './database/damage-watch.js'
import type { Database } from './database/tables.js'
import { findReserved } from './grants/grant-store.js'
import { GrantedUploads } from './grants/granted-upload.js'
import { UploadGrants } from './grants/upload-grants.js'
import { Idempotency } from './idempotency/idempotency.js'
import { describeJob, type Job } from './jobs/job.js'
import { insertJob } from './jobs/job-store.js'
import { ConcurrencyLimiter } from './limits/concurrency-limiter.js'
import { createLoginGuard } from './limits/login-guard.js'
import { createViewLimit } from './limits/view-limit.js'
import { openWindows, type Windows } from './limits/windows.js'
import { createDescriptionRunner } from './media/description-runner.js'
import { Library } from './media/library.js'
import { createProber, type Prober } from './media/probe/probe.js'
import { Quota } from './media/quota.js'
import { Intake } from './media/uploads.js'
import { createGauges } from './monitoring/gauges.js'
import { createHealth } from './monitoring/health.js'
import { createMetrics, type Metrics } from './monitoring/metrics.js'
import { LinkSigner } from './playback/link-signer.js'
import { Ffmpeg } from './protection/hls/ffmpeg.js'
import { createPackageIndexes } from './protection/hls/package-indexes.js'
import type { MuxTimes } from './protection/mux/mux-provider.js'
import { createProtection, releaseMux } from './protection/protection.js'
import { openVideoProviders } from './protection/video-providers.js'
import { createRenditionMaker } from './renditions/rendition-maker.js'
import { Renditions } from './renditions/renditions.js'
import type { RedisLink } from './redis/redis.js'
import type { KeyAgreement } from './secrets/key-agreement.js'
import type { Secrets } from './secrets/keyring.js'
import type { BlobStore } from './storage/blob-store.js'
import { SECOND, type Clock } from './time.js'
import { ResumableUploads } from './uploads/resumable-uploads.js'
import { UploadFinisher } from './uploads/upload-finisher.js'
import { UploadHolds } from './uploads/upload-holds.js'
import { findReservedBytes } from './uploads/upload-store.js'
import { openViewLog, type ViewLog } from './views/view-log.js'

/** No record has it. */
const NO_ID = '00000000-0000-0000-0000-000000000000'
/** How long a stream or an upload may outlive the right to it. */
const REVIEW_EVERY_MS = 3 * SECOND

/** What a test replaces. */
export interface ServiceOverrides {
  clock?: Partial<Clock>
  bcryptCost?: number
  hashWorkers?: HashWorkers
  prober?: Prober
  /** True: another server of this process measures the process, and views need no thread of their own. */
  isRehearsal?: boolean
  /** False: as on a machine without it. */
  ffmpeg?: Ffmpeg | false
  /** How often transfers under way are checked again, in milliseconds. */
  reviewEveryMs?: number
  /** How long a stream waits for its view to be committed, in milliseconds. */
  streamWaitMs?: number
  /** How long a request waits for the first request with its Idempotency-Key, in milliseconds. */
  idempotencyWaitMs?: number
  /** Timeouts and polling intervals of Mux, in milliseconds. */
  muxTimes?: MuxTimes
}

/** What the rules stand on. Whoever opened it closes it, after the services. */
export interface Foundation {
  config: Config
  clock: Clock
  log: Record<'info' | 'warn' | 'error', (about: object, text: string) => void>
  db: Kysely<Database>
  damage: DamageWatch
  secrets: Secrets
  keyAgreement: KeyAgreement
  blobs: BlobStore
  redis: RedisLink | undefined
  overrides: ServiceOverrides
}

export type Services = Awaited<ReturnType<typeof createServices>>
type People = ReturnType<typeof createPeople>
type MediaServices = Awaited<ReturnType<typeof createMedia>>
type Teaching = ReturnType<typeof createTeaching>

/**
 * Composes the rules of all features, without HTTP. Nothing runs by itself: the job runners are started by
 * plugins/background.ts. `close()` ends worker pools and writes the views that are queued.
 *
 * Throws StartupError if the secret of the view log cannot be opened by the SECRET_KEY.
 */
export async function createServices (foundation: Foundation) {
  const metrics = createMetrics()
  const { config, clock, redis, overrides } = foundation
  const limits = {
    windows: openWindows(clock, redis, overrides.clock?.now),
    uploadLimiter: new ConcurrencyLimiter(config.uploadsAtOnce, 'too_many_uploads', clock),
    streamLimiter: new ConcurrencyLimiter(config.streamsAtOnce, 'too_many_streams', clock)
  }
  const people = createPeople({ ...foundation, ...limits })
  const viewing = await openViewLog({
    ...foundation,
    metrics,
    limit: createViewLimit(limits.windows.clients, config.limitsPerMinute.view),
    streamWaitMs: overrides.streamWaitMs,
    inThread: overrides.isRehearsal !== true
  })
  const media = await createMedia({ ...foundation, ...people, metrics })
  const teaching = createTeaching({ ...foundation, ...people, ...viewing, ...media })
  const uploads = createUploads({ ...foundation, ...people, ...media, ...teaching })
  const playback = createPlayback({ ...foundation, ...people, ...media, ...teaching })
  const health = createHealth(foundation)
  return {
    ...foundation,
    metrics,
    ...limits,
    ...people,
    ...viewing,
    ...media,
    ...teaching,
    ...uploads,
    ...playback,
    idempotency: new Idempotency({
      ...foundation,
      keys: foundation.secrets.keyring('idempotency'),
      waitMs: overrides.idempotencyWaitMs
    }),
    health,
    gauges: createGauges({ ...foundation, health, ...limits, ...people, ...viewing, ...media }),
    warmUpTasks: {
      passwords: () => people.passwords.warmUp(),
      probe: () => media.prober.warmUp(),
      records: () => Promise.all([media.library.findNow(NO_ID), people.accounts.viewer(NO_ID)]),
      views: async () => await viewing.sqliteCommit?.warmUp()
    },
    async close () {
      people.review.stop()
      await viewing.writer.flush()
      await Promise.all([
        viewing.sqliteCommit?.close(),
        people.passwords.close(),
        people.apiKeys.close(),
        media.captionReader.close()
      ])
      media.prober.close()
    }
  }
}

/** Accounts, their sessions and their API keys. */
function createPeople (base: Foundation & { windows: Windows }) {
  const { config, db, clock, log, overrides } = base
  const passwords = createPasswordHasher(overrides.bcryptCost, { workers: overrides.hashWorkers })
  const accounts = new Accounts({
    db,
    passwords,
    clock,
    signupOpen: config.signupOpen,
    firstIsAdmin: config.environment !== 'production'
  })
  const sessions = new Sessions({
    db,
    accounts,
    passwords,
    clock,
    failedLogins: createLoginGuard(base.windows.failedLogins, clock, config.limitsPerMinute.login),
    accessSeconds: config.accessTokenSeconds,
    refreshSeconds: config.refreshTokenSeconds,
    onReuse: (id) => log.warn({ session_id: id }, 'ended a session: its refresh token was used twice')
  })
  const passwordResets = new PasswordResets({ db, clock, passwords, onSessionsEnded: () => sessions.invalidate() })
  const apiKeys = new ApiKeys({
    db,
    accounts,
    clock,
    onNoteFailed: (err) => log.warn({ err }, 'failed to store the time at which an API key was used')
  })
  const review = new AccessReview(overrides.reviewEveryMs ?? REVIEW_EVERY_MS)
  return { passwords, accounts, sessions, passwordResets, apiKeys, review }
}

/** Media from the upload to the package. */
async function createMedia (base: Foundation & People & { metrics: Metrics }) {
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
  const quota = new Quota({
    db,
    quotaBytes: config.quotaBytes,
    findReservedBytes: async (db, ownerId) =>
      (await findReservedBytes(db, ownerId)) + (await findReserved(db, ownerId, clock.now())).bytes
  })
  const intake = new Intake({
    db,
    blobs,
    prober,
    clock,
    quota,
    maxUploadBytes: config.maxUploadBytes,
    provider: config.videoProvider,
    newRendition: (media) => renditions.first(media),
    async queue (trx, media) {
      await protections.queue(trx, media)
      await renditions.queue(trx, media)
    }
  })
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
  const texts = openCaptions(base)
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
    ...texts
  }
}

/** Courses, lectures, subscriptions and progress. */
function createTeaching (base: Foundation & People & ViewLog & MediaServices) {
  const { config, db, clock, accounts, library, intake, protections, courseRunner, views } = base
  const subscriptions = new Subscriptions({ db, clock })
  const courses = new Courses({ db, accounts, library, clock })
  const lectures = new Lectures({
    db,
    intake,
    library,
    protections,
    protectAll: config.protectAllLectures,
    clock,
    onReordered: () => courseRunner.wake()
  })
  const batch = new LectureBatch({ courses, intake, lectures })
  const keys = base.secrets.keyring('upload-grant')
  const grants = new UploadGrants({ ...base, courses, keys, maxUploadBytes: config.maxUploadBytes })
  const grantedUploads = new GrantedUploads({ db, courses, lectures, intake, clock })
  const progress = new ProgressReports({ db, lectures, views, clock })
  return { subscriptions, courses, lectures, batch, grants, grantedUploads, progress }
}

/** Uploads in several requests. */
function createUploads (base: Foundation & People & MediaServices & Teaching) {
  const { config, db, clock } = base
  const holds = new UploadHolds({ db, clock })
  const resumable = new ResumableUploads({
    ...base,
    holds,
    finisher: new UploadFinisher(base),
    maxUploadBytes: config.maxUploadBytes,
    expiresHours: config.uploadExpiresHours
  })
  return { holds, resumable }
}

/** Who may watch, and the links that let them. */
function createPlayback (base: Foundation & People & MediaServices & Teaching) {
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
