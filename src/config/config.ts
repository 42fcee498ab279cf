import type { ConcurrencyLimits } from '../limits/concurrency-limiter.js'
import { databaseConfig, type DatabaseConfig } from './database.js'
import { readVariables, type Environment } from './environment.js'
import { isAddressOrCidr, isOrigin, listOf } from './formats.js'
import { muxConfig, type MuxConfig } from './mux.js'
import { secretSettings } from './secrets.js'

const DAY_SECONDS = 86_400

export interface Limits {
  view: number
  login: number
  signup: number
  course: number
  api: number
}
export type LimitGroup = keyof Limits

/** The settings of the server. They are read once at start, and frozen. Names of times and sizes end with the unit. */
export interface Config {
  environment: Environment['ENVIRONMENT']
  host: string
  port: number
  /** Server processes on this machine, behind one port. */
  processes: number
  /** An origin without a trailing slash. If undefined, the origin of the request is used. */
  publicUrl: string | undefined
  dataDir: string
  uploadDir: string
  database: DatabaseConfig
  redisUrl: string | undefined
  secretKey: string | undefined
  secretKeysPrevious: string[]
  accessTokenSeconds: number
  refreshTokenSeconds: number
  streamTokenSeconds: number
  streamTokenMaxSeconds: number
  analyticsCacheSeconds: number
  /** The part of a viewer's address that the view log stores. */
  viewAddresses: Environment['VIEW_ADDRESSES']
  /** The number of days for which the view log is kept; 0: forever. */
  viewRetentionDays: number
  limitsPerMinute: Limits
  maxUploadBytes: number
  quotaBytes: number
  /** A resumable upload expires this long after its last byte. */
  uploadExpiresHours: number
  /** Concurrency limits of each process; 0: no limit. */
  uploadsAtOnce: ConcurrencyLimits
  streamsAtOnce: ConcurrencyLimits
  /** Addresses or CIDRs whose forwarded headers are trusted. */
  trustedProxies: string[]
  corsOrigins: string[]
  /** Other origins whose pages may show the player in a frame; `*`: any. */
  embedOrigins: string[]
  signupOpen: boolean
  /** The sender of the bytes of streams: this process, or the nginx in front of it. */
  streamOffload: Environment['STREAM_OFFLOAD']
  /** True if the lectures of all courses are protected; false if only the lectures of premium courses are. */
  protectAllLectures: boolean
  /** The provider that makes the encrypted streams of new media. Existing media keep their provider. */
  videoProvider: Environment['VIDEO_PROVIDER']
  /** What is made of files that common browsers do not play. */
  transcode: Environment['TRANSCODE']
  /** The hardware that encodes renditions. */
  transcodeHardware: Environment['TRANSCODE_HWACCEL']
  /** The Mux account; undefined if none is configured. */
  mux: MuxConfig | undefined
  metricsToken: string | undefined
  /** The `PATH` in which ffmpeg is searched. */
  searchPath: string
  /** Old names of variables that are set. */
  oldVariables: readonly string[]
  logLevel: string
  shutdownGraceSeconds: number
  /** In this part of the grace period, the server is not ready but still accepts connections. */
  shutdownDelaySeconds: number
}

/** The message lists every invalid variable, one on each line. */
export class ConfigError extends Error {
  constructor (problems: string[]) {
    super(`The configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

/** Reads the environment. **Throws** {@link ConfigError} with all problems at once. */
export function loadConfig (env: Record<string, string | undefined>): Config {
  const problems: string[] = []
  const read = readVariables(env, problems)
  const database = databaseConfig(read, problems)
  const secrets = secretSettings(read, database, problems)
  const network = networkSettings(read, problems)
  checkTimes(read, problems)
  checkProcesses(read, database, network, problems)
  const mux = muxConfig(read, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze({
    ...serverSettings(read),
    ...secrets,
    ...network,
    ...timeSettings(read),
    ...limitSettings(read),
    database,
    viewAddresses: read.VIEW_ADDRESSES,
    signupOpen: read.SIGNUP === 'open',
    streamOffload: read.STREAM_OFFLOAD,
    protectAllLectures: read.PROTECT_LECTURES === 'all',
    videoProvider: read.VIDEO_PROVIDER,
    transcode: read.TRANSCODE,
    transcodeHardware: read.TRANSCODE_HWACCEL,
    mux,
    searchPath: env.PATH ?? '',
    oldVariables: read.oldNames
  })
}

/**
 * Returns the minimum number of days for which the view log must keep a row. This is the longest lifetime of a link, so
 * that its view is counted once, plus one day for clock skew and a long drain.
 */
export function fewestLogDays (streamTokenMaxSeconds: number): number {
  return Math.ceil(streamTokenMaxSeconds / DAY_SECONDS) + 1
}

function serverSettings (read: Environment) {
  return {
    environment: read.ENVIRONMENT,
    host: read.HOST,
    port: read.PORT,
    processes: read.PROCESSES,
    dataDir: read.DATA_DIR,
    uploadDir: read.UPLOAD_DIR,
    redisUrl: read.REDIS_URL,
    metricsToken: read.METRICS_TOKEN,
    logLevel: read.LOG_LEVEL
  }
}

function timeSettings (read: Environment) {
  return {
    accessTokenSeconds: read.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    refreshTokenSeconds: read.REFRESH_TOKEN_EXPIRE_DAYS * DAY_SECONDS,
    streamTokenSeconds: read.STREAM_TOKEN_EXPIRE_SECONDS,
    streamTokenMaxSeconds: read.STREAM_TOKEN_MAX_SECONDS,
    analyticsCacheSeconds: read.ANALYTICS_CACHE_TTL_SECONDS,
    viewRetentionDays: read.VIEW_RETENTION_DAYS,
    shutdownGraceSeconds: read.SHUTDOWN_GRACE_SECONDS,
    shutdownDelaySeconds: read.SHUTDOWN_DELAY_SECONDS
  }
}

function limitSettings (read: Environment) {
  return {
    limitsPerMinute: Object.freeze({
      view: read.RATE_LIMIT_VIEW_PER_MINUTE,
      login: read.RATE_LIMIT_LOGIN_PER_MINUTE,
      signup: read.RATE_LIMIT_SIGNUP_PER_MINUTE,
      course: read.RATE_LIMIT_COURSE_PER_MINUTE,
      api: read.RATE_LIMIT_API_PER_MINUTE
    }),
    maxUploadBytes: read.MAX_UPLOAD_BYTES,
    uploadExpiresHours: read.UPLOAD_EXPIRES_HOURS,
    quotaBytes: read.QUOTA_BYTES,
    uploadsAtOnce: Object.freeze({
      perAccount: read.MAX_CONCURRENT_UPLOADS_PER_ACCOUNT,
      perAddress: read.MAX_CONCURRENT_UPLOADS_PER_ADDRESS,
      total: read.MAX_CONCURRENT_UPLOADS
    }),
    streamsAtOnce: Object.freeze({
      perAccount: read.MAX_CONCURRENT_STREAMS_PER_ACCOUNT,
      perAddress: read.MAX_CONCURRENT_STREAMS_PER_ADDRESS,
      perLink: read.MAX_CONCURRENT_STREAMS_PER_LINK,
      total: read.MAX_CONCURRENT_STREAMS
    })
  }
}

/** Returns the settings of proxies and Redis, and the origins of this server and of its clients. */
function networkSettings (read: Environment, problems: string[]) {
  const trustedProxies = listOf(read.TRUSTED_PROXIES)
  for (const proxy of trustedProxies) {
    if (!isAddressOrCidr(proxy)) problems.push(`TRUSTED_PROXIES: "${proxy}" is not an address or a CIDR`)
  }
  const corsOrigins = listOf(read.CORS_ORIGINS)
  for (const origin of corsOrigins) {
    if (!isOrigin(origin)) problems.push(`CORS_ORIGINS: "${origin}" is not an origin such as https://example.org`)
  }
  const embedOrigins = listOf(read.EMBED_ORIGINS)
  for (const origin of embedOrigins) {
    if (origin !== '*' && (!isOrigin(origin) || /[;']/.test(origin))) {
      problems.push(`EMBED_ORIGINS: "${origin}" is neither * nor an origin such as https://example.org`)
    }
  }
  const publicUrl = read.PUBLIC_URL?.replace(/\/+$/, '')
  if (publicUrl !== undefined && !isOrigin(publicUrl)) {
    problems.push('PUBLIC_URL must be an origin such as https://media.example.org')
  }
  if (read.REDIS_URL !== undefined && !/^rediss?:\/\/./.test(read.REDIS_URL)) {
    problems.push('REDIS_URL must start with redis:// or rediss://')
  }
  return { trustedProxies, corsOrigins, embedOrigins, publicUrl }
}

function checkTimes (read: Environment, problems: string[]): void {
  if (read.STREAM_TOKEN_EXPIRE_SECONDS > read.STREAM_TOKEN_MAX_SECONDS) {
    problems.push('STREAM_TOKEN_EXPIRE_SECONDS must not be above STREAM_TOKEN_MAX_SECONDS')
  }
  if (read.SHUTDOWN_DELAY_SECONDS > read.SHUTDOWN_GRACE_SECONDS) {
    problems.push('SHUTDOWN_DELAY_SECONDS must not be above SHUTDOWN_GRACE_SECONDS, of which it is a part')
  }
  const fewestDays = fewestLogDays(read.STREAM_TOKEN_MAX_SECONDS)
  if (read.VIEW_RETENTION_DAYS > 0 && read.VIEW_RETENTION_DAYS < fewestDays) {
    problems.push(
      `VIEW_RETENTION_DAYS must be ${fewestDays} or more, or 0: a link is valid for up to ` +
        'STREAM_TOKEN_MAX_SECONDS, and counts a second view if the row of the first one is deleted'
    )
  }
}

/** Checks the settings that offloading and several processes require. */
function checkProcesses (
  read: Environment,
  { engine }: DatabaseConfig,
  { trustedProxies }: Pick<Config, 'trustedProxies'>,
  problems: string[]
): void {
  if (read.STREAM_OFFLOAD === 'x-accel' && trustedProxies.length === 0) {
    problems.push('STREAM_OFFLOAD=x-accel needs TRUSTED_PROXIES: only requests through your nginx are offloaded')
  }
  if (read.PROCESSES > 1 && (engine !== 'postgres' || read.REDIS_URL === undefined)) {
    problems.push('PROCESSES above 1 needs Postgres (DATABASE_URL), Redis (REDIS_URL) and a shared SECRET_KEY')
  }
}
