import t from 'tap'
import { ConfigError, loadConfig, type Config } from '../../src/config.js'

const secret = 'x'.repeat(32)

/** What a bad environment is told; undefined for a good one. */
function complaint (env: Record<string, string>): string | undefined {
  try {
    loadConfig(env)
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

t.test('without any variable it is a development server on this machine', async (t) => {
  t.match(loadConfig({}), {
    environment: 'development',
    host: '127.0.0.1',
    port: 8000,
    publicUrl: undefined,
    dataDir: './data',
    uploadDir: './uploads',
    redisUrl: undefined,
    secretKey: undefined,
    secretKeysPrevious: [],
    database: { engine: 'sqlite', path: 'data/playgate.db' },
    accessTokenSeconds: 1800,
    streamTokenSeconds: 600,
    streamTokenMaxSeconds: 86_400,
    analyticsCacheSeconds: 300,
    limitsPerMinute: { view: 10, login: 10, signup: 5, course: 50, api: 300 },
    maxUploadBytes: 2_147_483_648,
    quotaBytes: 21_474_836_480,
    trustedProxies: [],
    corsOrigins: [],
    embedOrigins: [],
    signupOpen: true,
    streamOffload: 'off',
    metricsToken: undefined,
    logLevel: 'info'
  })
})

t.test('good values are read', async (t) => {
  const cases: Array<[Record<string, string>, Partial<Record<keyof Config, unknown>>]> = [
    [{ ENVIRONMENT: 'production', SIGNUP: 'closed', PORT: '0' }, { environment: 'production', signupOpen: false, port: 0 }],
    [{ DATA_DIR: '/srv/x' }, { database: { engine: 'sqlite', path: '/srv/x/playgate.db' } }],
    [{ DATABASE_URL: 'sqlite:./a.db' }, { database: { engine: 'sqlite', path: './a.db' } }],
    [{ DATABASE_URL: 'sqlite:///a/b.db' }, { database: { engine: 'sqlite', path: '/a/b.db' } }],
    [{ DATABASE_URL: 'postgres://u:p@h/d?sslmode=require', SECRET_KEY: secret }, { database: { engine: 'postgres', url: 'postgres://u:p@h/d?sslmode=require' } }],
    [{ DATABASE_URL: 'postgresql://h/d', ACCESS_TOKEN_SECRET_KEY: secret }, { database: { engine: 'postgres' }, secretKey: secret }],
    [{ SECRET_KEY: secret, ACCESS_TOKEN_SECRET_KEY: 'y'.repeat(32), SECRET_KEYS_PREVIOUS: `${'a'.repeat(32)}, ${'b'.repeat(40)}` }, { secretKey: secret, secretKeysPrevious: ['a'.repeat(32), 'b'.repeat(40)] }],
    [{ ACCESS_TOKEN_EXPIRE_MINUTES: '1', ACCESS_TOKEN_ALGORITHM: 'HS256' }, { accessTokenSeconds: 60 }],
    [{ TRUSTED_PROXIES: '10.0.0.1, 10.0.0.0/8,::1 , fd00::/8,' }, { trustedProxies: ['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8'] }],
    [{ CORS_ORIGINS: 'https://a.org,http://localhost:3000' }, { corsOrigins: ['https://a.org', 'http://localhost:3000'] }],
    [{ EMBED_ORIGINS: 'https://a.org, http://localhost:3000' }, { embedOrigins: ['https://a.org', 'http://localhost:3000'] }],
    [{ EMBED_ORIGINS: '*' }, { embedOrigins: ['*'] }],
    [{ PUBLIC_URL: 'https://media.example.org/' }, { publicUrl: 'https://media.example.org' }],
    [{ REDIS_URL: 'rediss://h:1' }, { redisUrl: 'rediss://h:1' }],
    [{ RATE_LIMIT_VIEW_PER_MINUTE: '0', QUOTA_BYTES: '0', MAX_UPLOAD_BYTES: '9007199254740991' }, { limitsPerMinute: { view: 0 }, quotaBytes: 0, maxUploadBytes: 9_007_199_254_740_991 }],
    ...['INFO', 'Warn', 'silent', 'DEBUG'].map((level): [Record<string, string>, object] => [{ LOG_LEVEL: level }, { logLevel: level.toLowerCase() }])
  ]
  for (const [env, expected] of cases) t.match(loadConfig(env), expected, JSON.stringify(env))
})

t.test('an empty value is an unset one', async (t) => {
  const names = ['ENVIRONMENT', 'HOST', 'PORT', 'PUBLIC_URL', 'DATA_DIR', 'UPLOAD_DIR', 'DATABASE_URL', 'REDIS_URL', 'SECRET_KEY', 'ACCESS_TOKEN_SECRET_KEY', 'SECRET_KEYS_PREVIOUS', 'ACCESS_TOKEN_EXPIRE_MINUTES', 'TRUSTED_PROXIES', 'CORS_ORIGINS', 'EMBED_ORIGINS', 'SIGNUP', 'METRICS_TOKEN', 'LOG_LEVEL', 'MAX_UPLOAD_BYTES']
  t.same(loadConfig(Object.fromEntries(names.map((name) => [name, '']))), loadConfig({}))
  t.equal(loadConfig({ SECRET_KEY: '', ACCESS_TOKEN_SECRET_KEY: secret }).secretKey, secret, 'nor does it hide its alias')
})

const bad: Record<string, string[]> = {
  ENVIRONMENT: ['prod', 'Production', ' test'],
  PORT: ['65536', '-1', 'http', '80.5', '0x50', '1e3', ' 80', 'true', 'NaN', 'Infinity'],
  MAX_UPLOAD_BYTES: ['0', '2GB', '1e9', '10.9', '9007199254740993', '-5'],
  RATE_LIMIT_VIEW_PER_MINUTE: ['-1', 'off', '1_000'],
  ACCESS_TOKEN_EXPIRE_MINUTES: ['0', '0.5', 'x'],
  ACCESS_TOKEN_ALGORITHM: ['none', 'HS512', 'RS256', 'hs256'],
  STREAM_TOKEN_EXPIRE_SECONDS: ['0', '86401'],
  STREAM_TOKEN_MAX_SECONDS: ['0', '599'],
  SIGNUP: ['yes', 'Open'],
  LOG_LEVEL: ['verbose', '5'],
  SECRET_KEY: ['short', 'x'.repeat(31)],
  SECRET_KEYS_PREVIOUS: ['short', `${secret},short`],
  DATABASE_URL: ['mysql://h/d', 'sqlite:', 'sqlite::memory:', 'postgres://', 'nonsense'],
  REDIS_URL: ['localhost:6379', 'http://h'],
  TRUSTED_PROXIES: ['*', 'true', '1', 'proxy.local', '10.0.0.0/33', '10.0.0.1/', '::1/129', '10.0.0.1 10.0.0.2', '10.0.0.0/8/8'],
  CORS_ORIGINS: ['*', 'example.org', 'https://a.org/path', 'https://a.org/', 'null', 'ftp://a.org'],
  EMBED_ORIGINS: ['example.org', 'https://a.org/', 'null', "'none'", 'https://a.org;script-src', '*.org'],
  PUBLIC_URL: ['media.example.org', 'https://a.org/sub', 'ftp://a.org', 'https://u:p@a.org', 'https://']
}

t.test('bad values are refused by name; bug: 1e9 and true were read as 1, 10.9 as 10', async (t) => {
  for (const [name, values] of Object.entries(bad)) for (const value of values) t.match(complaint({ [name]: value }), name, `${name}=${value}`)
  t.match(complaint({ DATABASE_URL: 'postgres://h/d' }), /SECRET_KEY is required/)
  t.match(complaint({ ACCESS_TOKEN_SECRET_KEY: 'short' }), 'SECRET_KEY')
})

t.test('one message names every bad variable, and tells no secret', async (t) => {
  const message = complaint(Object.fromEntries(Object.entries(bad).map(([name, values]) => [name, values[0]!])))!
  for (const name of Object.keys(bad)) t.match(message, name)
  t.notMatch(complaint({ SECRET_KEY: 'my short secret' }), 'my short secret')
})

t.test('the configuration cannot be changed afterwards', async (t) => {
  const config = loadConfig({})
  t.throws(() => { config.port = 1 }, TypeError)
  t.throws(() => { config.limitsPerMinute.view = 1 }, TypeError)
})
