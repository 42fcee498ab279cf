import { Type, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { StringEnum } from '../schemas/fields.js'
import { renameVariables } from './renamed-variables.js'

/** The largest count: larger ones exceed the memory, or a timer of 2^31 milliseconds. */
const MANY = 1_000_000
/** Maximum TTL of a token or a link: ten years. */
const TEN_YEARS_SECONDS = 315_360_000
const DAY_SECONDS = 86_400
const count = (initial: number, minimum = 0, maximum = MANY) => Type.Integer({ default: initial, minimum, maximum })
const text = (initial?: string) =>
  initial === undefined ? Type.Optional(Type.String()) : Type.String({ default: initial })
const oneOf = <const T extends string[]>(values: [...T], initial: T[number]) => StringEnum(values, { default: initial })

/** The environment variables of this server. `.env.example` describes each variable and the reason for its default. */
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
  UPLOAD_EXPIRES_HOURS: count(24, 1, 8760),
  MAX_CONCURRENT_UPLOADS: count(200),
  MAX_CONCURRENT_UPLOADS_PER_ACCOUNT: count(64),
  MAX_CONCURRENT_UPLOADS_PER_ADDRESS: count(64),
  MAX_CONCURRENT_STREAMS: count(2000),
  MAX_CONCURRENT_STREAMS_PER_ACCOUNT: count(500),
  MAX_CONCURRENT_STREAMS_PER_ADDRESS: count(100),
  MAX_CONCURRENT_STREAMS_PER_LINK: count(50),
  TRUSTED_PROXIES: text(''),
  CORS_ORIGINS: text(''),
  EMBED_ORIGINS: text(''),
  SIGNUP: oneOf(['open', 'closed'], 'open'),
  STREAM_OFFLOAD: oneOf(['off', 'x-accel'], 'off'),
  PROTECT_LECTURES: oneOf(['premium', 'all'], 'premium'),
  VIDEO_PROVIDER: oneOf(['local', 'mux'], 'local'),
  TRANSCODE: oneOf(['off', 'compatible'], 'compatible'),
  TRANSCODE_HWACCEL: oneOf(['none', 'vaapi', 'nvenc', 'qsv'], 'none'),
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

/** The names of all variables. */
export const VARIABLES: readonly string[] = Object.keys(environmentSchema.properties)

export type Environment = Static<typeof environmentSchema>

/**
 * Reads the variables, by their new and their old names. An empty value counts as unset. Adds every invalid variable to
 * `problems`.
 */
export function readVariables (
  env: Record<string, string | undefined>,
  problems: string[]
): Environment & { oldNames: string[] } {
  const given = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
  )
  const { variables, oldNames } = renameVariables(given, problems)
  if (variables.LOG_LEVEL) variables.LOG_LEVEL = variables.LOG_LEVEL.toLowerCase()
  return { ...decode(environmentSchema, variables, problems), oldNames }
}

/** Converts strings to the types of a schema. An invalid variable is reported, and gets its default. */
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

/** Accepts only decimal digits as a number. A lenient parser also accepts `1e9`, and `true` as 1. */
function valueOf (field: TSchema, text: string): unknown {
  return field.type === 'integer' && /^-?\d+$/.test(text) ? Number(text) : text
}

function problemOf (field: TSchema, value: unknown): string | undefined {
  if (field.enum) return field.enum.includes(value) ? undefined : `expected one of ${field.enum.join(', ')}`
  return Value.Errors(field, value).First()?.message.toLowerCase()
}
