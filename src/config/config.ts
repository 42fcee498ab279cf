import { Type, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { ConcurrencyLimits } from '../limits/concurrency-limiter.js'
import { StringEnum } from '../schemas/fields.js'
import { muxConfig, type MuxConfig } from './mux.js'

/** Above it a number counts nothing that fits into memory, or into a timer's 2^31 milliseconds. */
const MANY = 1_000_000
/** Longest life of a token or a link: ten years. */
const TEN_YEARS_SECONDS = 315_360_000
const DAY_SECONDS = 86_400
const count = (initial: number, minimum = 0, maximum = MANY) => Type.Integer({ default: initial, minimum, maximum })
const text = (initial?: string) =>
  initial === undefined ? Type.Optional(Type.String()) : Type.String({ default: initial })
const oneOf = <const T extends string[]>(values: [...T], initial: T[number]) => StringEnum(values, { default: initial })

/**
 * The environment variables this server reads; `.env.example` says what each is for, and where its default comes from.
 */
const environmentSchema = Type.Object({
  ENVIRONMENT: oneOf(['development', 'production', 'test'], 'development'),
  HOST: text('127.0.0.1'),
  PORT: count(8000, 0, 65535),
  PROCESSES: count(1, 1, 64),
  PUBLIC_URL: text(),
  DATA_DIR: text('./data'),
  UPLOAD_DIR: text('./uploads'),
  DATABASE_URL: text(),
  REDIS_URL: text(),
  SECRET_KEY: text(),
  ACCESS_TOKEN_SECRET_KEY: text(),
  SECRET_KEYS_PREVIOUS: text(''),
  ACCESS_TOKEN_EXPIRE_MINUTES: count(30, 1, TEN_YEARS_SECONDS / 60),
  ACCESS_TOKEN_ALGORITHM: oneOf(['HS256'], 'HS256'),
  REFRESH_TOKEN_EXPIRE_DAYS: count(30, 1, 3650),
  STREAM_TOKEN_EXPIRE_SECONDS: count(600, 1, TEN_YEARS_SECONDS),
  STREAM_TOKEN_MAX_SECONDS: count(86_400, 1, TEN_YEARS_SECONDS),
  ANALYTICS_CACHE_TTL_SECONDS: count(300),
  VIEW_ADDRESSES: oneOf(['full', 'truncated', 'hashed'], 'full'),
  VIEW_RETENTION_DAYS: count(0, 0, 100_000),
  RATE_LIMIT_VIEW_PER_MINUTE: count(10),
  RATE_LIMIT_LOGIN_PER_MINUTE: count(10),
  RATE_LIMIT_SIGNUP_PER_MINUTE: count(5),
  RATE_LIMIT_COURSE_PER_MINUTE: count(50),
  RATE_LIMIT_API_PER_MINUTE: count(300),
  MAX_UPLOAD_BYTES: count(2_147_483_648, 1, Number.MAX_SAFE_INTEGER),
  QUOTA_BYTES: count(21_474_836_480, 0, Number.MAX_SAFE_INTEGER),
  MAX_UPLOADS: count(200),
  MAX_UPLOADS_PER_ACCOUNT: count(64),
  MAX_UPLOADS_PER_ADDRESS: count(64),
  MAX_STREAMS: count(2000),
  MAX_STREAMS_PER_ACCOUNT: count(500),
  MAX_STREAMS_PER_ADDRESS: count(100),
  MAX_STREAMS_PER_LINK: count(50),
  TRUSTED_PROXIES: text(''),
  CORS_ORIGINS: text(''),
  EMBED_ORIGINS: text(''),
  SIGNUP: oneOf(['open', 'closed'], 'open'),
  STREAM_OFFLOAD: oneOf(['off', 'x-accel'], 'off'),
  PROTECT_LECTURES: oneOf(['premium', 'all'], 'premium'),
  VIDEO_PROVIDER: oneOf(['local', 'mux'], 'local'),
  MUX_TOKEN_ID: text(),
  MUX_TOKEN_SECRET: text(),
  MUX_SIGNING_KEY_ID: text(),
  MUX_PRIVATE_KEY: text(),
  MUX_WEBHOOK_SECRET: text(),
  MUX_DRM_CONFIGURATION_ID: text(),
  MUX_BASE_URL: text('https://api.mux.com'),
  METRICS_TOKEN: text(),
  LOG_LEVEL: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'info'),
  DATABASE_POOL_SIZE: count(10, 1, 1000),
  DATABASE_STATEMENT_TIMEOUT_SECONDS: count(30, 1, DAY_SECONDS),
  SHUTDOWN_GRACE_SECONDS: count(30, 0, DAY_SECONDS),
  SHUTDOWN_DELAY_SECONDS: count(0, 0, DAY_SECONDS)
})

/** The names of all variables that are read. */
export const VARIABLES: readonly string[] = Object.keys(environmentSchema.properties)

type Environment = Static<typeof environmentSchema>

/** The names of all of them; `.env.example` is held to these. */
export const variableNames = Object.keys(environmentSchema.properties)

export type DatabaseConfig =
  | { engine: 'sqlite'; path: string }
  | { engine: 'postgres'; url: string; poolSize: number; statementTimeoutSeconds: number }

export interface Limits {
  view: number
  login: number
  signup: number
  course: number
  api: number
}
export type LimitGroup = keyof Limits

/** What the server is told at start: read once, frozen, passed down. Times and sizes carry their unit in the name. */
export interface Config {
  environment: Environment['ENVIRONMENT']
  host: string
  port: number
  /** Server processes on this machine, behind one port. */
  processes: number
  /** An origin without a trailing slash; undefined: the request's own. */
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
  /** How much of a viewer's address the log keeps. */
  viewAddresses: Environment['VIEW_ADDRESSES']
  /** Whole days that the log of views is kept; 0: forever. */
  viewRetentionDays: number
  limitsPerMinute: Limits
  maxUploadBytes: number
  quotaBytes: number
  /** Of each process, at once; 0 is no limit. */
  uploadsAtOnce: ConcurrencyLimits
  streamsAtOnce: ConcurrencyLimits
  /** Addresses or CIDRs whose forwarded headers are believed. */
  trustedProxies: string[]
  corsOrigins: string[]
  /** Origins, beside this one, whose pages may show the player in a frame; `*` is any. */
  embedOrigins: string[]
  signupOpen: boolean
  /** Who sends the bytes of streams: this process, or the nginx in front of it. */
  streamOffload: Environment['STREAM_OFFLOAD']
  /** Whether lectures of all courses are protected, or of premium ones. */
  protectAllLectures: boolean
  /** Who makes the encrypted streams of new media; those that are there keep theirs. */
  videoProvider: Environment['VIDEO_PROVIDER']
  /** The Mux account; undefined where none is set up. */
  mux: MuxConfig | undefined
  metricsToken: string | undefined
  /** `PATH`: where ffmpeg is looked for. */
  searchPath: string
  logLevel: string
  shutdownGraceSeconds: number
  /** Part of the grace in which the server is not ready any more, but still takes connections. */
  shutdownDelaySeconds: number
}

/** One message that names every bad variable, one a line. */
export class ConfigError extends Error {
  constructor (problems: string[]) {
    super(`The configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

/** Environment variables to {@link Config}. Pure; an empty value is an unset one; throws {@link ConfigError}. */
export function loadConfig (env: Record<string, string | undefined>): Config {
  const problems: string[] = []
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  if (given.LOG_LEVEL) given.LOG_LEVEL = given.LOG_LEVEL.toLowerCase()
  const read = decode(environmentSchema, given, problems)
  const database = databaseConfig(read, problems)
  const secretKey = secret('SECRET_KEY', read.SECRET_KEY ?? read.ACCESS_TOKEN_SECRET_KEY, problems)
  const secretKeysPrevious = list(read.SECRET_KEYS_PREVIOUS)
  for (const key of secretKeysPrevious) secret('SECRET_KEYS_PREVIOUS', key, problems)
  if (database.engine === 'postgres' && secretKey === undefined) {
    problems.push(
      'SECRET_KEY is required with Postgres: all processes must share it (make one with: openssl rand -base64 48)'
    )
  }
  const trustedProxies = list(read.TRUSTED_PROXIES)
  for (const proxy of trustedProxies) {
    if (!isAddressOrCidr(proxy)) problems.push(`TRUSTED_PROXIES: "${proxy}" is not an address or a CIDR`)
  }
  const corsOrigins = list(read.CORS_ORIGINS)
  for (const origin of corsOrigins) {
    if (!isOrigin(origin)) problems.push(`CORS_ORIGINS: "${origin}" is not an origin such as https://example.org`)
  }
  const embedOrigins = list(read.EMBED_ORIGINS)
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
  if (read.STREAM_TOKEN_EXPIRE_SECONDS > read.STREAM_TOKEN_MAX_SECONDS) {
    problems.push('STREAM_TOKEN_EXPIRE_SECONDS must not be above STREAM_TOKEN_MAX_SECONDS')
  }
  if (read.SHUTDOWN_DELAY_SECONDS > read.SHUTDOWN_GRACE_SECONDS) {
    problems.push('SHUTDOWN_DELAY_SECONDS must not be above SHUTDOWN_GRACE_SECONDS, of which it is a part')
  }
  const fewestDays = fewestLogDays(read.STREAM_TOKEN_MAX_SECONDS)
  if (read.VIEW_RETENTION_DAYS > 0 && read.VIEW_RETENTION_DAYS < fewestDays) {
    problems.push(
      `VIEW_RETENTION_DAYS must be ${fewestDays} or more, or 0: a link lives up to STREAM_TOKEN_MAX_SECONDS, and ` +
        'its view would be counted again if its row went meanwhile'
    )
  }
  if (read.STREAM_OFFLOAD === 'x-accel' && trustedProxies.length === 0) {
    problems.push('STREAM_OFFLOAD=x-accel needs TRUSTED_PROXIES: only what came through your nginx is handed to it')
  }
  if (read.PROCESSES > 1 && (database.engine !== 'postgres' || read.REDIS_URL === undefined)) {
    problems.push(
      'PROCESSES above 1 needs Postgres (DATABASE_URL), Redis (REDIS_URL) and SECRET_KEY: they are what processes share'
    )
  }
  const mux = muxConfig(read, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze({
    environment: read.ENVIRONMENT,
    host: read.HOST,
    port: read.PORT,
    processes: read.PROCESSES,
    publicUrl,
    dataDir: read.DATA_DIR,
    uploadDir: read.UPLOAD_DIR,
    database,
    redisUrl: read.REDIS_URL,
    secretKey,
    secretKeysPrevious,
    accessTokenSeconds: read.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    refreshTokenSeconds: read.REFRESH_TOKEN_EXPIRE_DAYS * 86_400,
    streamTokenSeconds: read.STREAM_TOKEN_EXPIRE_SECONDS,
    streamTokenMaxSeconds: read.STREAM_TOKEN_MAX_SECONDS,
    analyticsCacheSeconds: read.ANALYTICS_CACHE_TTL_SECONDS,
    viewAddresses: read.VIEW_ADDRESSES,
    viewRetentionDays: read.VIEW_RETENTION_DAYS,
    limitsPerMinute: Object.freeze({
      view: read.RATE_LIMIT_VIEW_PER_MINUTE,
      login: read.RATE_LIMIT_LOGIN_PER_MINUTE,
      signup: read.RATE_LIMIT_SIGNUP_PER_MINUTE,
      course: read.RATE_LIMIT_COURSE_PER_MINUTE,
      api: read.RATE_LIMIT_API_PER_MINUTE
    }),
    maxUploadBytes: read.MAX_UPLOAD_BYTES,
    quotaBytes: read.QUOTA_BYTES,
    uploadsAtOnce: Object.freeze({
      perAccount: read.MAX_UPLOADS_PER_ACCOUNT,
      perAddress: read.MAX_UPLOADS_PER_ADDRESS,
      total: read.MAX_UPLOADS
    }),
    streamsAtOnce: Object.freeze({
      perAccount: read.MAX_STREAMS_PER_ACCOUNT,
      perAddress: read.MAX_STREAMS_PER_ADDRESS,
      perLink: read.MAX_STREAMS_PER_LINK,
      total: read.MAX_STREAMS
    }),
    trustedProxies,
    corsOrigins,
    embedOrigins,
    signupOpen: read.SIGNUP === 'open',
    streamOffload: read.STREAM_OFFLOAD,
    protectAllLectures: read.PROTECT_LECTURES === 'all',
    videoProvider: read.VIDEO_PROVIDER,
    mux,
    metricsToken: read.METRICS_TOKEN,
    searchPath: env.PATH ?? '',
    logLevel: read.LOG_LEVEL,
    shutdownGraceSeconds: read.SHUTDOWN_GRACE_SECONDS,
    shutdownDelaySeconds: read.SHUTDOWN_DELAY_SECONDS
  })
}

/**
 * The log is what knows that a link's view was counted, so a row stays as long as a link may live; a day more, for
 * clocks and a long drain.
 */
export function fewestLogDays (streamTokenMaxSeconds: number): number {
  return Math.ceil(streamTokenMaxSeconds / 86_400) + 1
}

/** Strings to the schema's types. A variable that does not fit is reported and stands at its default from there on. */
function decode<T extends TObject> (
  schema: T,
  given: Record<string, string | undefined>,
  problems: string[]
): Static<T> {
  const read: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(schema.properties)) {
    const value = given[name] === undefined ? field.default : valueOf(field, given[name])
    const wrong = value === undefined ? undefined : problemOf(field, value)
    if (wrong !== undefined) problems.push(`${name}: ${wrong}`)
    read[name] = wrong === undefined ? value : field.default
  }
  return read as Static<T>
}

/** Only digits are a number: a lenient parser reads `1e9` as 1, and `true`, too. */
function valueOf (field: TSchema, text: string): unknown {
  return field.type === 'integer' && /^-?\d+$/.test(text) ? Number(text) : text
}

function problemOf (field: TSchema, value: unknown): string | undefined {
  if (field.enum) return field.enum.includes(value) ? undefined : `expected one of ${field.enum.join(', ')}`
  return Value.Errors(field, value).First()?.message.toLowerCase()
}

function databaseConfig (read: Environment, problems: string[]): DatabaseConfig {
  const url = read.DATABASE_URL ?? `sqlite:${join(read.DATA_DIR, 'playgate.db')}`
  if (/^postgres(ql)?:\/\/./.test(url)) {
    return {
      engine: 'postgres',
      url,
      poolSize: read.DATABASE_POOL_SIZE,
      statementTimeoutSeconds: read.DATABASE_STATEMENT_TIMEOUT_SECONDS
    }
  }
  const path = /^sqlite:(?:\/\/(?=\/))?(.+)$/.exec(url)?.[1]
  if (path === undefined || path.startsWith(':memory:')) {
    problems.push('DATABASE_URL must be sqlite:<path>, postgres://… or postgresql://…')
  }
  return { engine: 'sqlite', path: path ?? '' }
}

function secret (name: string, value: string | undefined, problems: string[]): string | undefined {
  if (value !== undefined && value.length < 32) {
    problems.push(`${name} must have at least 32 characters (make one with: openssl rand -base64 48)`)
  }
  return value
}

function list (value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function isAddressOrCidr (value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

function isOrigin (value: string): boolean {
  try {
    const url = new URL(value)
    return /^https?:$/.test(url.protocol) && url.origin === value.toLowerCase()
  } catch {
    return false
  }
}
