import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { LogController, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrations } from '../migrations/index.js'
import accessReview from '../plugins/access-review.js'
import assets from '../plugins/assets.js'
import auth from '../plugins/auth.js'
import blobReply from '../plugins/blob-reply.js'
import corsPolicy from '../plugins/cors-policy.js'
import docs from '../plugins/openapi.js'
import errors, { answerUnreadable, apiErrorOf, sendProblem } from '../plugins/errors.js'
import forwardedFor from '../plugins/forwarded-for.js'
import limits from '../plugins/rate-limit.js'
import metricsPlugin, { createMetrics } from '../plugins/metrics.js'
import multipart from '../plugins/multipart.js'
import requestBodies from '../plugins/slow-bodies.js'
import requestLog from '../plugins/request-log.js'
import requestUrl, { originOf } from '../plugins/origin.js'
import securityHeaders from '../plugins/security-headers.js'
import sockets from '../plugins/sockets.js'
import validation from '../plugins/validation.js'
import warmUp from '../plugins/warm-up.js'
import accountRoutes from '../routes/accounts.js'
import courseRoutes from '../routes/courses.js'
import embedRoutes from '../routes/embed.js'
import hlsRoutes from '../routes/hls.js'
import lectureRoutes from '../routes/lectures.js'
import mediaRoutes from '../routes/media.js'
import serviceRoutes from '../routes/service.js'
import streamRoutes from '../routes/stream.js'
import subscriptionRoutes from '../routes/subscriptions.js'
import uploadRoutes from '../routes/uploads.js'
import userRoutes from '../routes/users.js'
import viewRoutes from '../routes/views.js'
import webhookRoutes from '../routes/webhooks.js'
import { AccessReview } from './access/access-review.js'
import { createAccess } from './access/permissions.js'
import { createLectureUrls } from './access/lecture-reply.js'
import { createStreamGate } from './access/playback-links.js'
import { createAccounts } from './accounts/accounts.js'
import { createPasswordHasher, type HashWorkers } from './accounts/passwords.js'
import { createSessions } from './accounts/sessions.js'
import { choresOf } from './maintenance/maintenance-tasks.js'
import type { Config } from './config/config.js'
import { createCourseRunner } from './courses/course-runner.js'
import { sumsLock } from './courses/course-sums.js'
import { createCourses } from './courses/courses.js'
import { createLectureBatch } from './courses/lecture-batch.js'
import { createLectures } from './courses/lectures.js'
import { createProgress } from './courses/progress.js'
import { createSubscriptions } from './courses/subscriptions.js'
import { migrate } from './database/migrate.js'
import { checkDatabaseFile, markIntact } from './database/file-check.js'
import { DamageWatch } from './database/damage-watch.js'
import { openDatabase, poolFigures } from './database/open.js'
import { becomeSoleUser } from './database/instance-lock.js'
import { databaseDamaged } from './errors.js'
import { createHealth } from './monitoring/health.js'
import { Housekeeping } from './jobs/scheduler.js'
import { createLoginGuard } from './limits/login-guard.js'
import { ConcurrencyLimiter } from './limits/concurrency-limiter.js'
import { createViewLimit } from './limits/view-limit.js'
import { openWindows } from './limits/windows.js'
import { createIntake } from './media/uploads.js'
import { createLibrary } from './media/library.js'
import { countMuxMedia, listOwnedBlobs } from './media/media-store.js'
import { bindingFault, bindStore } from './media/store-pairing.js'
import { createProber } from './media/probe/probe.js'
import { createQuota } from './media/quota.js'
import type { Figures } from './process/cluster-metrics.js'
import { createFfmpeg, type Ffmpeg } from './protection/hls/ffmpeg.js'
import { createLocalProvider } from './protection/hls/local-provider.js'
import type { MuxTimes } from './protection/mux/mux-provider.js'
import { createPackageIndexes } from './protection/hls/package-indexes.js'
import { createPackageRunner } from './protection/hls/package-runner.js'
import { describeJob } from './jobs/job.js'
import { insertJob } from './jobs/job-store.js'
import { createProtection, releaseMux } from './protection/protection.js'
import { openRedis } from './redis/redis.js'
import { rewriteUrl } from './http/rewrite-url.js'
import { KeyAgreement } from './secrets/key-agreement.js'
import { loadSecrets } from './secrets/keyring.js'
import { openDiskStore } from './storage/disk-store.js'
import { Sweeper } from './storage/sweep.js'
import { MINUTE, SECOND, type Clock } from './time.js'
import { VERSION } from './version.js'
import { createLocalCache } from './cache/shared-cache.js'
import { createSharedCache } from './cache/redis-cache.js'
import { createSqliteCommit } from './views/sqlite-commit.js'
import { insertViews } from './views/view-store.js'
import { ViewWriter } from './views/view-writer.js'
import { openViewerNames } from './views/viewer-id-store.js'
import { createViews } from './views/views.js'

const KiB = 1024
/** How long a stream or an upload may outlive the right to it. */
const REVIEW_EVERY_MS = 3 * SECOND
const KEEP_HOUSE_EVERY_MS = 10 * MINUTE
/** A socket on which nothing moved for so long is dead, or a paused player that will ask again by range. */
const IDLE_SOCKET_MS = 2 * MINUTE

/** What a test puts in place of the real thing, and what only the process itself can know. */
export interface Overrides {
  now?: Clock
  /** What facts grow old by, and what sweeps go by. */
  monotonicNow?: Clock
  bcryptCost?: number
  hashWorkers?: HashWorkers
  logger?: FastifyServerOptions['logger']
  /** False: as on a machine without it. */
  ffmpeg?: Ffmpeg | false
  keepHouseEveryMs?: number
  /** How often what is under way is checked again. */
  reviewEveryMs?: number
  /** False: the first requests compile schemas and start workers themselves. */
  warmUp?: boolean
  /** Where this is one of several processes: how it gives its figures, and asks for those of all. */
  gatherFigures?: (own: () => Promise<Figures>) => () => Promise<Figures[]>
  /** How long Mux may take, and how often is looked for what waits for it, in milliseconds. */
  muxTimes?: MuxTimes
}

/** The whole server, composed and migrated, ready to listen or be injected into. `close()` ends all that it opened. */
export async function buildApp (config: Config, overrides: Overrides = {}): Promise<FastifyInstance> {
  const app = fastify({
    // At `trace` the multipart parser logs the headers it is given, and with them the token.
    logger: overrides.logger ?? { level: config.logLevel, redact: { paths: ['busboyOptions.headers'], remove: true } },
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    trustProxy: config.trustedProxies.length > 0 ? config.trustedProxies : false,
    rewriteUrl: (request) => rewriteUrl(request.url ?? '/'),
    genReqId: ({ headers }) =>
      typeof headers['x-request-id'] === 'string' && /^[\w.:-]{1,128}$/.test(headers['x-request-id'])
        ? headers['x-request-id']
        : randomUUID(),
    bodyLimit: 256 * KiB,
    connectionTimeout: IDLE_SOCKET_MS,
    http: { requireHostHeader: false },
    routerOptions: { maxParamLength: 1024 },
    frameworkErrors: (error, request, reply) =>
      sendProblem(reply.header('x-request-id', request.id), apiErrorOf(error), originOf(request, config.publicUrl)),
    clientErrorHandler: answerUnreadable,
    return503OnClosing: false
  }).withTypeProvider<TypeBoxTypeProvider>()
  try {
    await compose(app as unknown as FastifyInstance, config, overrides)
  } catch (error) {
    // What was opened and announced before the failure is closed and taken back.
    await app.close()
    throw error
  }
  return app as unknown as FastifyInstance
}

async function compose (app: FastifyInstance, config: Config, overrides: Overrides): Promise<void> {
  const { now = Date.now, monotonicNow = () => performance.now() } = overrides
  // What it stands on.
  const secrets = loadSecrets(config)
  const sqlitePath = config.database.engine === 'sqlite' ? config.database.path : undefined
  if (sqlitePath !== undefined) await checkDatabaseFile(sqlitePath)
  const damage = new DamageWatch((err) => {
    app.log.error({ err }, 'database file is damaged: stop the server and restore a backup (docs/backup.md)')
  })
  const onDamage = (error: Error) => damage.report(error)
  const db = openDatabase(config.database, {
    onConnectionError: ({ message }) => app.log.warn({ reason: message }, 'a database connection failed'),
    onDamage
  })
  app.addHook('onClose', async () => {
    await db.destroy()
    if (sqlitePath !== undefined && !damage.isDamaged) await markIntact(sqlitePath)
  })
  await migrate(db, migrations)
  // Whoever is alone may take up at once what another process left. After a restart that did not wait, the other one is
  // still there.
  const letGo = sqlitePath === undefined ? undefined : becomeSoleUser(sqlitePath)
  const alone = letGo !== undefined
  app.addHook('onClose', async () => letGo?.())
  const keyAgreement = new KeyAgreement({ db, keys: secrets.keyring('media'), isOnlyInstance: alone, log: app.log })
  await keyAgreement.start()
  app.addHook('onClose', () => keyAgreement.stop())
  const blobs = await openDiskStore(config.uploadDir)
  app.addHook('onClose', () => blobs.close())
  const metrics = createMetrics()
  const onRedisChange = (up: boolean, cause: unknown) => {
    if (up) app.log.info('Redis is there')
    else {
      app.log.warn(
        { reason: (cause as Error | undefined)?.message },
        'Redis does not answer: limits and cache go on in this process'
      )
    }
  }
  const redis = config.redisUrl === undefined ? undefined : await openRedis(config.redisUrl, onRedisChange)
  app.addHook('onClose', async () => {
    redis?.close()
  })
  const windows = openWindows(monotonicNow, redis, overrides.now)
  const localCache = createLocalCache()
  const cache = redis === undefined ? localCache : createSharedCache(redis, localCache)

  // What it does.
  const passwords = createPasswordHasher(overrides.bcryptCost, { workers: overrides.hashWorkers })
  const prober = createProber()
  const sqliteCommit =
    config.database.engine === 'sqlite' ? createSqliteCommit(config.database.path, onDamage) : undefined
  const writer = new ViewWriter(sqliteCommit?.commit ?? ((batch) => insertViews(db, batch)), (outcomes) => {
    metrics.batchViews.observe(outcomes.length)
    for (const outcome of outcomes) metrics.views.inc({ outcome })
  })
  app.addHook('onClose', async () => {
    await writer.flush()
    await Promise.all([sqliteCommit?.close(), passwords.close()])
    prober.close()
  })
  const accounts = createAccounts({
    db,
    passwords,
    now,
    monotonicNow,
    signupOpen: config.signupOpen,
    firstIsAdmin: config.environment !== 'production'
  })
  const sessions = createSessions({
    db,
    accounts,
    passwords,
    now,
    monotonicNow,
    failedLogins: createLoginGuard(windows.failedLogins, now, config.limitsPerMinute.login),
    accessSeconds: config.accessTokenSeconds,
    refreshSeconds: config.refreshTokenSeconds,
    onReuse: (sessionId) =>
      app.log.warn({ session_id: sessionId }, 'a refresh token was used twice: its session is ended')
  })
  const courseRunner = createCourseRunner({
    db,
    blobs,
    now,
    onError: (err, job) => app.log.warn({ err, ...describeJob(job) }, 'a background job failed')
  })
  const library = createLibrary({
    db,
    now,
    monotonicNow,
    async release (trx, media) {
      await insertJob(trx, 'delete-media', media.id, now())
      await releaseMux(trx, media, now())
    },
    onReleased: () => courseRunner.wake()
  })
  const protections = createProtection({ db, blobs, library, provider: config.videoProvider, now })
  const quota = createQuota({ db, quotaBytes: config.quotaBytes })
  const intake = createIntake({
    db,
    blobs,
    prober,
    now,
    quota,
    maxUploadBytes: config.maxUploadBytes,
    provider: config.videoProvider,
    queue: protections.queue
  })
  const names = await openViewerNames({
    db,
    mode: config.viewAddresses,
    keys: () => secrets.keyring('viewer-address'),
    onProgress: (done, total) => app.log.info({ done, total }, 'rewriting the addresses of the view log')
  })
  const views = createViews({
    db,
    writer,
    names,
    cache,
    cacheSeconds: config.analyticsCacheSeconds,
    now,
    limit: createViewLimit(windows.clients, config.limitsPerMinute.view)
  })
  const subscriptions = createSubscriptions({ db, now, monotonicNow })
  const courses = createCourses({ db, accounts, library, now })
  const lectures = createLectures({
    db,
    intake,
    library,
    protections,
    protectAll: config.protectAllLectures,
    now,
    onReordered: () => courseRunner.wake()
  })
  const batch = createLectureBatch({ courses, intake, lectures })
  const progress = createProgress({ db, lectures, views, now })
  const access = createAccess({ accounts, library, subscriptions })
  const runner = createPackageRunner({
    db,
    blobs,
    library,
    keys: secrets.keyring('media'),
    now,
    ffmpeg: overrides.ffmpeg === false ? undefined : (overrides.ffmpeg ?? createFfmpeg(config.searchPath)),
    onError: (err, job) => app.log.warn({ err, ...describeJob(job) }, 'packaging failed'),
    onNoPicture: (reason, mediaId) =>
      app.log.info({ media_id: mediaId, reason }, 'no picture could be taken of a video')
  })
  const local = createLocalProvider({ runner, keys: secrets.keyring('link') })
  // Imported where it is needed: the SDK costs 10 MB of memory.
  const mux =
    config.mux &&
    (await import('./protection/mux/mux-provider.js')).createMuxProvider({
      config: config.mux,
      db,
      blobs,
      library,
      keys: secrets.keyring('link'),
      lockSums: sumsLock(now),
      publicUrl: config.publicUrl,
      now,
      times: overrides.muxTimes,
      onFault: (fault, about) =>
        app.log.warn({ ...about, reason: fault.message }, 'Mux did not do what it was asked to')
    })
  if (mux === undefined && (await countMuxMedia(db)) > 0) {
    app.log.warn(
      'media are played by Mux, but MUX_TOKEN_ID and the other variables of its account are not set: they cannot be played'
    )
  }
  const indexes = createPackageIndexes({
    db,
    blobs,
    keys: secrets.keyring('media'),
    onFault: (error, mediaId) => app.log.warn({ err: error, media_id: mediaId }, 'failed to read what a package holds')
  })
  const gate = createStreamGate({
    access,
    library,
    now,
    providers: { local, mux },
    keys: secrets.keyring('link'),
    viewRetentionDays: config.viewRetentionDays,
    defaultSeconds: config.streamTokenSeconds,
    maxSeconds: config.streamTokenMaxSeconds
  })
  const lectureUrls = createLectureUrls(gate)
  const clocks = { now, monotonicNow }
  const uploads = new ConcurrencyLimiter(config.uploadsAtOnce, 'too_many_uploads', clocks)
  const streams = new ConcurrencyLimiter(config.streamsAtOnce, 'too_many_streams', clocks)
  const health = createHealth({ db, damage, keyAgreement, blobs, redis })
  const binding = await bindStore(db, blobs)
  if (binding !== 'bound') app.log.error({ upload_dir: config.uploadDir }, bindingFault(binding))
  const sweeper = new Sweeper({
    store: blobs,
    async owned (names) {
      // A damaged index hides rows: their files would look orphaned.
      if (damage.isDamaged) throw databaseDamaged()
      return await listOwnedBlobs(db, names)
    },
    monotonicNow
  })

  // What every request meets.
  app.removeContentTypeParser('text/plain')
  await app.register(sockets)
  if (config.trustedProxies.length > 0) await app.register(forwardedFor)
  await app.register(requestUrl, { publicUrl: config.publicUrl })
  await app.register(errors)
  await app.register(validation)
  await app.register(requestLog)
  await app.register(requestBodies)
  await app.register(corsPolicy, { origins: config.corsOrigins, isProduction: config.environment === 'production' })
  await app.register(securityHeaders)
  await app.register(limits, { windows: windows.clients, perMinute: config.limitsPerMinute, now })
  await app.register(assets)
  await app.register(docs, { publicUrl: config.publicUrl, version: VERSION })
  await app.register(metricsPlugin, {
    metrics,
    token: config.metricsToken,
    loopbackAllowed: config.environment !== 'production',
    gather: overrides.gatherFigures,
    gauges: {
      playgate_database_connections: {
        help: 'Postgres connections of this process',
        read: () => poolFigures(db).connections
      },
      playgate_database_waiting: { help: 'Queries that wait for a connection', read: () => poolFigures(db).waiting },
      playgate_views_waiting: { help: 'Views not yet committed', read: () => writer.waiting },
      playgate_passwords_pending: { help: 'Password hashes waiting or running', read: () => passwords.pending() },
      playgate_probes_pending: { help: 'File probes waiting or running', read: () => prober.pending() },
      playgate_uploads: { help: 'Uploads being received', read: () => uploads.taken },
      playgate_streams: { help: 'Files being sent', read: () => streams.taken },
      playgate_limit_keys: {
        help: 'Clients and accounts held by the limits of this process',
        read: () => windows.size()
      },
      playgate_redis_up: {
        help: '1 while Redis answers, 0 while it does not, -1 without one',
        read: () => (redis === undefined ? -1 : Number(redis.up)),
        aggregator: 'min'
      }
    }
  })
  await app.register(auth, {
    accounts,
    sessions,
    keys: secrets.keyring('jwt'),
    tokenSeconds: config.accessTokenSeconds
  })
  await app.register(accessReview, { review: new AccessReview(overrides.reviewEveryMs ?? REVIEW_EVERY_MS), accounts })
  await app.register(multipart, { limiter: uploads, maxUploadBytes: config.maxUploadBytes })
  await app.register(blobReply, {
    blobs,
    limiter: streams,
    offload: config.streamOffload,
    onBytes: (bytes) => metrics.streamedBytes.inc(bytes),
    onStalled: () => metrics.stalledStreams.inc()
  })

  // What it answers.
  await app.register(serviceRoutes, { health, version: VERSION })
  await app.register(accountRoutes, { accounts, sessions })
  await app.register(userRoutes, { accounts, sessions })
  await app.register(mediaRoutes, {
    access,
    gate,
    intake,
    lectures,
    library,
    maxLinkSeconds: config.streamTokenMaxSeconds
  })
  await app.register(uploadRoutes, { intake, limiter: uploads })
  await app.register(streamRoutes, { gate, views, now })
  await app.register(hlsRoutes, { gate, indexes, views, keys: secrets.keyring('media'), now })
  await app.register(embedRoutes, {
    embedOrigins: config.embedOrigins,
    gate,
    hosted: mux !== undefined
  })
  await app.register(viewRoutes, { access, gate, views })
  await app.register(courseRoutes, { courses, lectures, lectureUrls, progress })
  await app.register(lectureRoutes, { batch, courses, intake, lectures, lectureUrls, progress, subscriptions })
  await app.register(subscriptionRoutes, { courses, lectures, lectureUrls, progress, subscriptions })
  await app.register(webhookRoutes, { events: mux?.events })

  // What it does by itself.
  if (overrides.warmUp !== false) {
    await app.register(warmUp, {
      health,
      tasks: {
        schemas: () => app.compileSchemas(),
        passwords: () => passwords.warmUp(),
        probe: () => prober.warmUp(),
        views: async () => await sqliteCommit?.warmUp()
      }
    })
  }
  const { atStart, nowAndThen } = choresOf({
    db,
    blobs,
    sweeper,
    alone,
    keys: secrets.keyring('media'),
    lectures,
    sessions,
    viewRetentionDays: config.viewRetentionDays,
    forgetOldEvents: async () => await mux?.events.forgetOld(),
    now,
    monotonicNow,
    log: app.log
  })
  const house = new Housekeeping(nowAndThen, overrides.keepHouseEveryMs ?? KEEP_HOUSE_EVERY_MS, (error, complaint) =>
    app.log.error({ err: error }, complaint)
  )
  const providers = mux === undefined ? [local] : [local, mux]
  app.addHook('onListen', async () => {
    await house.do(atStart)
    for (const provider of providers) await provider.start(alone)
    await courseRunner.start(alone)
  })
  app.addHook('onClose', async () => {
    await Promise.all([house.stop(), courseRunner.stop(), ...providers.map((provider) => provider.stop())])
  })
  app.addHook('preClose', async () => {
    health.stopping = true
    // The other half is for the responses.
    prober.endWithin((config.shutdownGraceSeconds * SECOND) / 2)
    await sleep(config.shutdownDelaySeconds * SECOND)
  })
}
