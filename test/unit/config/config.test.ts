import { generateKeyPairSync } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, loadConfig, type Config } from '../../../src/config/config.js'
import { VARIABLES } from '../../../src/config/environment.js'
import { renamedWarning } from '../../../src/config/renamed-variables.js'
import { loadSecrets } from '../../../src/secrets/keyring.js'

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
    [
      { ENVIRONMENT: 'production', SIGNUP: 'closed', PORT: '0' },
      { environment: 'production', signupOpen: false, port: 0 }
    ],
    [{ DATA_DIR: '/srv/x' }, { database: { engine: 'sqlite', path: '/srv/x/playgate.db' } }],
    [{ DATABASE_URL: 'sqlite:./a.db' }, { database: { engine: 'sqlite', path: './a.db' } }],
    [{ DATABASE_URL: 'sqlite:///a/b.db' }, { database: { engine: 'sqlite', path: '/a/b.db' } }],
    [
      { DATABASE_URL: 'postgres://u:p@h/d?sslmode=require', SECRET_KEY: secret },
      { database: { engine: 'postgres', url: 'postgres://u:p@h/d?sslmode=require' } }
    ],
    [
      { DATABASE_URL: 'postgresql://h/d', ACCESS_TOKEN_SECRET_KEY: secret },
      { database: { engine: 'postgres' }, secretKey: secret }
    ],
    [
      {
        SECRET_KEY: secret,
        ACCESS_TOKEN_SECRET_KEY: 'y'.repeat(32),
        SECRET_KEYS_PREVIOUS: `${'a'.repeat(32)}, ${'b'.repeat(40)}`
      },
      { secretKey: secret, secretKeysPrevious: ['a'.repeat(32), 'b'.repeat(40)] }
    ],
    [{ ACCESS_TOKEN_EXPIRE_MINUTES: '1', ACCESS_TOKEN_ALGORITHM: 'HS256' }, { accessTokenSeconds: 60 }],
    [
      { TRUSTED_PROXIES: '10.0.0.1, 10.0.0.0/8,::1 , fd00::/8,' },
      { trustedProxies: ['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8'] }
    ],
    [
      { CORS_ORIGINS: 'https://a.org,http://localhost:3000' },
      { corsOrigins: ['https://a.org', 'http://localhost:3000'] }
    ],
    [
      { EMBED_ORIGINS: 'https://a.org, http://localhost:3000' },
      { embedOrigins: ['https://a.org', 'http://localhost:3000'] }
    ],
    [{ EMBED_ORIGINS: '*' }, { embedOrigins: ['*'] }],
    [{ PUBLIC_URL: 'https://media.example.org/' }, { publicUrl: 'https://media.example.org' }],
    [{ REDIS_URL: 'rediss://h:1' }, { redisUrl: 'rediss://h:1' }],
    [
      { RATE_LIMIT_VIEW_PER_MINUTE: '0', QUOTA_BYTES: '0', MAX_UPLOAD_BYTES: '9007199254740991' },
      { limitsPerMinute: { view: 0 }, quotaBytes: 0, maxUploadBytes: 9_007_199_254_740_991 }
    ],
    ...['INFO', 'Warn', 'silent', 'DEBUG'].map((level): [Record<string, string>, object] => [
      { LOG_LEVEL: level },
      { logLevel: level.toLowerCase() }
    ])
  ]
  for (const [env, expected] of cases) t.match(loadConfig(env), expected, JSON.stringify(env))
})

t.test('an empty value is an unset one', async (t) => {
  const names = [
    'ENVIRONMENT',
    'HOST',
    'PORT',
    'PUBLIC_URL',
    'DATA_DIR',
    'UPLOAD_DIR',
    'DATABASE_URL',
    'REDIS_URL',
    'SECRET_KEY',
    'ACCESS_TOKEN_SECRET_KEY',
    'SECRET_KEYS_PREVIOUS',
    'ACCESS_TOKEN_EXPIRE_MINUTES',
    'TRUSTED_PROXIES',
    'CORS_ORIGINS',
    'EMBED_ORIGINS',
    'SIGNUP',
    'METRICS_TOKEN',
    'LOG_LEVEL',
    'MAX_UPLOAD_BYTES'
  ]
  t.same(loadConfig(Object.fromEntries(names.map((name) => [name, '']))), loadConfig({}))
  t.equal(
    loadConfig({ SECRET_KEY: '', ACCESS_TOKEN_SECRET_KEY: secret }).secretKey,
    secret,
    'nor does it hide its alias'
  )
})

t.test('an old name of a variable works, and is named for the log', async (t) => {
  const config = loadConfig({ MAX_STREAMS: '7', MAX_UPLOADS_PER_ACCOUNT: '0', MAX_UPLOADS: '' })
  t.match(config, { streamsAtOnce: { total: 7 }, uploadsAtOnce: { perAccount: 0, total: 200 } })
  t.same(config.oldVariables, ['MAX_UPLOADS_PER_ACCOUNT', 'MAX_STREAMS'])
  t.equal(
    renamedWarning(['MAX_STREAMS']),
    'variables have new names, and the old ones may stop working: rename MAX_STREAMS to MAX_CONCURRENT_STREAMS'
  )
  t.throws(
    () => loadConfig({ MAX_STREAMS: '7', MAX_CONCURRENT_STREAMS: '7' }),
    /MAX_STREAMS is the old name of MAX_CONCURRENT_STREAMS: set only the new one/
  )
  t.throws(() => loadConfig({ MAX_STREAMS: '-1' }), /MAX_CONCURRENT_STREAMS: expected/)
})

const bad: Record<string, string[]> = {
  ENVIRONMENT: ['prod', 'Production', ' test'],
  PORT: ['65536', '-1', 'http', '80.5', '0x50', '1e3', ' 80', 'true', 'NaN', 'Infinity'],
  MAX_UPLOAD_BYTES: ['0', '2GB', '1e9', '10.9', '9007199254740993', '-5'],
  UPLOAD_EXPIRES_HOURS: ['0', '1.5', '8761', 'never'],
  RATE_LIMIT_VIEW_PER_MINUTE: ['-1', 'off', '1_000'],
  ACCESS_TOKEN_EXPIRE_MINUTES: ['0', '0.5', 'x'],
  ACCESS_TOKEN_ALGORITHM: ['none', 'HS512', 'RS256', 'hs256'],
  STREAM_TOKEN_EXPIRE_SECONDS: ['0', '86401'],
  STREAM_TOKEN_MAX_SECONDS: ['0', '599', '315360001', '9007199254740991'],
  REFRESH_TOKEN_EXPIRE_DAYS: ['0', '1.5', '3651'],
  VIEW_ADDRESSES: ['none', 'Full'],
  VIEW_RETENTION_DAYS: ['-1', '1', 'x'],
  MAX_CONCURRENT_STREAMS: ['-1', 'many'],
  MAX_CONCURRENT_STREAMS_PER_LINK: ['-1', 'few'],
  SHUTDOWN_DELAY_SECONDS: ['31', '-1'],
  SIGNUP: ['yes', 'Open'],
  LOG_LEVEL: ['verbose', '5'],
  SECRET_KEY: ['short', 'x'.repeat(31)],
  SECRET_KEYS_PREVIOUS: ['short', `${secret},short`],
  DATABASE_URL: ['mysql://h/d', 'sqlite:', 'sqlite::memory:', 'postgres://', 'nonsense'],
  REDIS_URL: ['localhost:6379', 'http://h'],
  TRUSTED_PROXIES: [
    '*',
    'true',
    '1',
    'proxy.local',
    '10.0.0.0/33',
    '10.0.0.1/',
    '::1/129',
    '10.0.0.1 10.0.0.2',
    '10.0.0.0/8/8'
  ],
  CORS_ORIGINS: ['*', 'example.org', 'https://a.org/path', 'https://a.org/', 'null', 'ftp://a.org'],
  EMBED_ORIGINS: ['example.org', 'https://a.org/', 'null', "'none'", 'https://a.org;script-src', '*.org'],
  PUBLIC_URL: ['media.example.org', 'https://a.org/sub', 'ftp://a.org', 'https://u:p@a.org', 'https://']
}

t.test('bad values are refused by name; bug: 1e9 and true were read as 1, 10.9 as 10', async (t) => {
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) t.match(complaint({ [name]: value }), name, `${name}=${value}`)
  }
  t.match(complaint({ DATABASE_URL: 'postgres://h/d' }), /SECRET_KEY is required/)
  t.match(complaint({ ACCESS_TOKEN_SECRET_KEY: 'short' }), 'SECRET_KEY')
})

t.test('every number has an upper bound, and the message names the variable and the bound', async (t) => {
  const numbers = VARIABLES.filter((name) =>
    complaint({ [name]: '9007199254740993' })?.includes(`${name}: expected integer`)
  )
  t.ok(numbers.length >= 20, `${numbers.length} variables are numbers`)
  for (const name of numbers) {
    t.match(complaint({ [name]: '9007199254740993' }), /expected integer to be less or equal to \d+/, name)
  }
  const longest = {
    STREAM_TOKEN_MAX_SECONDS: '315360000',
    SHUTDOWN_GRACE_SECONDS: '86400',
    ACCESS_TOKEN_EXPIRE_MINUTES: '5256000'
  }
  t.equal(complaint(longest), undefined, 'the bound itself is taken')
  for (const [name, value] of Object.entries(longest)) t.match(complaint({ [name]: String(Number(value) + 1) }), name)
})

t.test('one message names every bad variable, and tells no secret', async (t) => {
  const message = complaint(Object.fromEntries(Object.entries(bad).map(([name, values]) => [name, values[0]!])))!
  for (const name of Object.keys(bad)) t.match(message, name)
  t.notMatch(complaint({ SECRET_KEY: 'my short secret' }), 'my short secret')
})

const base64 = (text: string) => Buffer.from(text).toString('base64')
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string
const mux = {
  MUX_TOKEN_ID: 'id',
  MUX_TOKEN_SECRET: 'the token secret',
  MUX_SIGNING_KEY_ID: 'key',
  MUX_PRIVATE_KEY: base64(pem),
  MUX_WEBHOOK_SECRET: 'the webhook secret'
}

t.test('an account of Mux is set up whole, or not at all; what is missing is named', async (t) => {
  t.match(loadConfig({}), { videoProvider: 'local', mux: undefined })
  t.match(
    loadConfig({
      ...mux,
      VIDEO_PROVIDER: 'mux',
      MUX_DRM_CONFIGURATION_ID: 'drm',
      MUX_BASE_URL: 'http://127.0.0.1:4010/'
    }),
    {
      videoProvider: 'mux',
      mux: { tokenId: 'id', signingKeyId: 'key', drmConfigurationId: 'drm', baseUrl: 'http://127.0.0.1:4010' }
    }
  )
  t.match(
    loadConfig(mux),
    { videoProvider: 'local', mux: { baseUrl: 'https://api.mux.com', drmConfigurationId: undefined } },
    'for the media that were made with it'
  )
  const nothing = complaint({ VIDEO_PROVIDER: 'mux' })!
  for (const name of Object.keys(mux)) t.match(nothing, `${name} is required with VIDEO_PROVIDER=mux`)
  for (const name of Object.keys(mux)) {
    t.match(complaint({ ...mux, VIDEO_PROVIDER: 'mux', [name]: '' }), `${name} is required`)
    t.match(complaint({ ...mux, [name]: '' }), `${name} is required`)
  }
  for (const MUX_BASE_URL of ['api.mux.com', 'ftp://api.mux.com', 'https://']) {
    t.match(complaint({ MUX_BASE_URL }), 'MUX_BASE_URL must be an address')
  }
  for (const VIDEO_PROVIDER of ['Mux', 'youtube']) {
    t.match(complaint({ VIDEO_PROVIDER }), 'VIDEO_PROVIDER: expected one of local, mux')
  }
})

t.test('a MUX_PRIVATE_KEY that is wrong is told in words, and never shown', async (t) => {
  const pkcs8 = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  for (const good of [base64(pem), base64(pkcs8), base64(pem).replace(/.{64}/g, '$&\n')]) {
    t.equal(complaint({ ...mux, VIDEO_PROVIDER: 'mux', MUX_PRIVATE_KEY: good }), undefined)
  }
  const locked = rsa.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x'
  }) as string
  const wrong: Array<[string, string]> = [
    [pem, 'is a PEM file that is not in base64'],
    ['not base64 at all!', 'is not base64'],
    [base64('a string'), 'holds no PEM file, or is cut off'],
    [base64(pem).slice(0, 800), 'holds a private key that is damaged or cut off'],
    [
      base64(
        pem
          .split('\n')
          .map((line, index) => (index === 3 ? [...line].reverse().join('') : line))
          .join('\n')
      ),
      'holds a private key that is damaged or cut off'
    ],
    [base64(rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string), 'holds a public key, not a private key'],
    [base64(locked), 'holds a private key that is locked by a password'],
    [
      base64(
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
      ),
      'holds a key of the kind ec'
    ],
    [
      base64(
        generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
          type: 'pkcs1',
          format: 'pem'
        }) as string
      ),
      'holds a key of 1024 bits, which is too short'
    ]
  ]
  for (const [MUX_PRIVATE_KEY, words] of wrong) {
    const message = complaint({ ...mux, VIDEO_PROVIDER: 'mux', MUX_PRIVATE_KEY })!
    t.match(message, `MUX_PRIVATE_KEY ${words}`)
    t.notOk(message.includes(MUX_PRIVATE_KEY.slice(0, 40)) || message.includes('the token secret'))
  }
})

t.test('the configuration cannot be changed afterwards', async (t) => {
  const config = loadConfig({})
  t.throws(() => {
    config.port = 1
  }, TypeError)
  t.throws(() => {
    config.limitsPerMinute.view = 1
  }, TypeError)
})

t.test(
  'a kept secret that was cut is refused (bug: an emptied secret.key became the key of everything), a good one is ' +
    'made once and kept',
  async (t) => {
    const dataDir = t.testdir({ cut: { 'secret.key': 'too short\n' }, empty: { 'secret.key': '' } })
    for (const folder of ['cut', 'empty']) {
      t.throws(
        () => loadSecrets({ secretKey: undefined, secretKeysPrevious: [], dataDir: join(dataDir, folder) }),
        /secret\.key holds no secret of 32 characters/,
        folder
      )
    }
    const made = () =>
      loadSecrets({ secretKey: undefined, secretKeysPrevious: [], dataDir: join(dataDir, 'fresh') }).keyring('jwt')
        .current.key
    t.same(made(), made())
    t.equal((await stat(join(dataDir, 'fresh', 'secret.key'))).mode & 0o777, 0o600)
    t.same(await readdir(join(dataDir, 'fresh')), ['secret.key'], 'and no draft of it')
  }
)
