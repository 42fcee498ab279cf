import { AccessReview } from './access/access-review.js'
import { createLectureUrls } from './access/lecture-reply.js'
import { createAccess } from './access/permissions.js'
import { Admissions } from './access/admissions.js'
import { PlaybackLinks } from './access/playback-links.js'
import { Accounts } from './accounts/accounts.js'
import { createPasswordHasher, type HashWorkers } from './accounts/passwords.js'
import { Sessions } from './accounts/sessions.js'
import { createSharedCache } from './cache/redis-cache.js'
import { createLocalCache } from './cache/shared-cache.js'
import type { Config } from './config/config.js'
import { createCourseRunner } from './courses/course-runner.js'
import { sumsLock } from './courses/course-sums.js'
import { Courses } from './courses/courses.js'
import { LectureBatch } from './courses/lecture-batch.js'
import { Lectures } from './courses/lectures.js'
import { ProgressBook } from './courses/progress.js'
import { Subscriptions } from './courses/subscriptions.js'
import type { Kysely } from 'kysely'
import type { DamageWatch } from './database/damage-watch.js'
import type { Database } from './database/tables.js'
import { describeJob } from './jobs/job.js'
import { insertJob } from './jobs/job-store.js'
import { ConcurrencyLimiter } from './limits/concurrency-limiter.js'
import { createLoginGuard } from './limits/login-guard.js'
import { createViewLimit } from './limits/view-limit.js'
import { openWindows } from './limits/windows.js'
import { Library } from './media/library.js'
import { countMuxMedia } from './media/media-protection-store.js'
import { createProber, type Prober } from './media/probe/probe.js'
import { Quota } from './media/quota.js'
import { Intake } from './media/uploads.js'
import { createGauges } from './monitoring/gauges.js'
import { createHealth } from './monitoring/health.js'
import { createMetrics } from './monitoring/metrics.js'
import { Ffmpeg } from './protection/hls/ffmpeg.js'
import { createLocalProvider } from './protection/hls/local-provider.js'
import { createPackageIndexes } from './protection/hls/package-indexes.js'
import { createPackageRunner } from './protection/hls/package-runner.js'
import type { MuxTimes } from './protection/mux/mux-provider.js'
import { createProtection, releaseMux } from './protection/protection.js'
import type { RedisLink } from './redis/redis.js'
import type { KeyAgreement } from './secrets/key-agreement.js'
import type { Secrets } from './secrets/keyring.js'
import type { BlobStore } from './storage/blob-store.js'
import { SECOND, type Clock } from './time.js'
import { createSqliteCommit } from './views/sqlite-commit.js'
import { insertViews } from './views/view-store.js'
import { ViewWriter } from './views/view-writer.js'
import { openViewerIds } from './views/viewer-id-store.js'
import { LinkSigner } from './playback/link-signer.js'
import { Views } from './views/views.js'

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

/**
 * Composes the rules of all features, without HTTP. Nothing runs by itself: the job runners are started by
 * plugins/background.ts. `close()` ends worker pools and writes the views that are queued.
 *
 * Throws StartupError if the secret of the view log cannot be opened by the SECRET_KEY.
 */
export async function createServices (foundation: Foundation) {
  const metrics = createMetrics()
  const limits = createLimits(foundation)
  const people = createPeople({ ...foundation, ...limits })
  const watching = await createViewLog({ ...foundation, ...limits, metrics })
  const media = await createMedia({ ...foundation, ...people })
  const teaching = createTeaching({ ...foundation, ...people, ...watching, ...media })
  const playback = createPlayback({ ...foundation, ...people, ...media, ...teaching })
  return {
    ...foundation,
    metrics,
    ...limits,
    ...people,
    ...watching,
    ...media,
    ...teaching,
    ...playback,
    health: createHealth(foundation),
    gauges: createGauges({ ...foundation, ...limits, ...people, ...watching, ...media }),
    warmUpTasks: {
      passwords: () => people.passwords.warmUp(),
      probe: () => media.prober.warmUp(),
      records: () => Promise.all([media.library.findNow(NO_ID), people.accounts.viewer(NO_ID)]),
      views: async () => await watching.sqliteCommit?.warmUp()
    },
    async close () {
      await watching.writer.flush()
      await Promise.all([watching.sqliteCommit?.close(), people.passwords.close()])
      media.prober.close()
    }
  }
}

/** Sliding windows and concurrency limits. */
function createLimits ({ config, clock, redis, overrides }: Foundation) {
  return {
    windows: openWindows(clock, redis, overrides.clock?.now),
    uploadLimiter: new ConcurrencyLimiter(config.uploadsAtOnce, 'too_many_uploads', clock),
    streamLimiter: new ConcurrencyLimiter(config.streamsAtOnce, 'too_many_streams', clock)
  }
}

/** Accounts and their sessions. */
function createPeople (base: Foundation & ReturnType<typeof createLimits>) {
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
    onReuse: (sessionId) =>
      log.warn({ session_id: sessionId }, 'a refresh token was used twice: its session is ended')
  })
  const review = new AccessReview(overrides.reviewEveryMs ?? REVIEW_EVERY_MS)
  return { passwords, accounts, sessions, review }
}

/** The view log, its writer and the analytics. */
async function createViewLog (
  base: Foundation & ReturnType<typeof createLimits> & { metrics: ReturnType<typeof createMetrics> }
) {
  const { config, db, damage, clock, log, redis, secrets, metrics } = base
  const onDamage = (error: Error) => damage.report(error)
  const sqliteCommit =
    config.database.engine === 'sqlite' && base.overrides.isRehearsal !== true
      ? createSqliteCommit(config.database.path, onDamage)
      : undefined
  const writer = new ViewWriter(sqliteCommit?.commit ?? ((batch) => insertViews(db, batch)), (outcomes) => {
    metrics.batchViews.observe(outcomes.length)
    for (const outcome of outcomes) metrics.views.inc({ outcome })
  })
  const viewerIds = await openViewerIds({
    db,
    mode: config.viewAddresses,
    keys: () => secrets.keyring('viewer-address'),
    onProgress: (done, total) => log.info({ done, total }, 'rewriting the addresses of the view log')
  })
  const localCache = createLocalCache()
  const views = new Views({
    db,
    writer,
    viewerIds,
    cache: redis === undefined ? localCache : createSharedCache(redis, localCache),
    cacheSeconds: config.analyticsCacheSeconds,
    clock,
    limit: createViewLimit(base.windows.clients, config.limitsPerMinute.view),
    streamWaitMs: base.overrides.streamWaitMs
  })
  return { sqliteCommit, writer, views }
}

/** Media from the upload to the package. */
async function createMedia (base: Foundation & ReturnType<typeof createPeople>) {
  const { config, db, blobs, clock, log } = base
  const prober = base.overrides.prober ?? createProber()
  const courseRunner = createCourseRunner({
    db,
    blobs,
    clock,
    onError: (err, job) => log.warn({ err, ...describeJob(job) }, 'a background job failed')
  })
  const library = new Library({
    db,
    clock,
    async release (trx, media) {
      await insertJob(trx, 'delete-media', media.id, clock.now())
      await releaseMux(trx, media, clock.now())
    },
    onReleased: () => courseRunner.wake()
  })
  const protections = createProtection({ db, blobs, library, provider: config.videoProvider, clock })
  const intake = new Intake({
    db,
    blobs,
    prober,
    clock,
    quota: new Quota({ db, quotaBytes: config.quotaBytes }),
    maxUploadBytes: config.maxUploadBytes,
    provider: config.videoProvider,
    queue: protections.queue
  })
  const signer = new LinkSigner(base.secrets.keyring('link'), clock)
  const providers = await createProviders({ ...base, library, signer })
  return { prober, courseRunner, library, protections, intake, signer, providers }
}

/** The makers of encrypted streams: this server, and Mux where it is configured. */
async function createProviders (
  base: Foundation & { library: Library; signer: LinkSigner }
) {
  const { config, db, blobs, library, signer, clock, log, secrets, overrides } = base
  const runner = createPackageRunner({
    db,
    blobs,
    library,
    keys: secrets.keyring('media'),
    clock,
    ffmpeg: overrides.ffmpeg === false ? undefined : (overrides.ffmpeg ?? new Ffmpeg(config.searchPath)),
    onError: (err, job) => log.warn({ err, ...describeJob(job) }, 'packaging failed'),
    onNoPicture: (reason, mediaId) =>
      log.info({ media_id: mediaId, reason }, 'no picture could be taken of a video')
  })
  // Imported where it is needed: the SDK costs 10 MB of memory.
  const mux =
    config.mux &&
    new (await import('./protection/mux/mux-provider.js')).MuxProvider({
      config: config.mux,
      db,
      blobs,
      library,
      signer,
      lockSums: sumsLock(clock),
      publicUrl: config.publicUrl,
      clock,
      times: overrides.muxTimes,
      onFault: (fault, about) => log.warn({ ...about, reason: fault.message }, 'a request to Mux failed')
    })
  if (mux === undefined && (await countMuxMedia(db)) > 0) {
    log.warn({}, 'media on Mux cannot be played: set MUX_TOKEN_ID and the other variables of its account')
  }
  return { local: createLocalProvider({ runner, signer }), mux }
}

/** Courses, lectures, subscriptions and progress. */
function createTeaching (
  base: Foundation &
    ReturnType<typeof createPeople> &
    Awaited<ReturnType<typeof createViewLog>> &
    Awaited<ReturnType<typeof createMedia>>
) {
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
  const progress = new ProgressBook({ db, lectures, views, clock })
  return { subscriptions, courses, lectures, batch, progress }
}

/** Who may watch, and the links that let them. */
function createPlayback (
  base: Foundation &
    ReturnType<typeof createPeople> &
    Awaited<ReturnType<typeof createMedia>> &
    ReturnType<typeof createTeaching>
) {
  const { config, db, blobs, log, secrets, accounts, library, signer, subscriptions, providers } = base
  const access = createAccess({ accounts, library, subscriptions })
  const indexes = createPackageIndexes({
    db,
    blobs,
    keys: secrets.keyring('media'),
    onFault: (error, mediaId) =>
      log.warn({ err: error, media_id: mediaId }, 'failed to read the index of a package')
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
  return { access, indexes, admissions, links, lectureUrls: createLectureUrls(links) }
}
