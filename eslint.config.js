import neostandard from 'neostandard'

/** Who may import whom (docs/decisions/0001-rooms.md): each rule names what a room must not reach. */
const forbid = (files, ...patterns) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: patterns.map(([regex, message]) => ({ regex, message })) }] }
})

const product = [
  '/(test|demo|bench)/',
  'the product runs without its tests, demos and benchmarks: the image does not contain them'
]
const http = ['(^fastify$|^fastify-plugin$|/plugins/|/routes/)', 'rules in src/ run without HTTP']
const sql = ['(^kysely$|^pg$|^better-sqlite3$|/database/)', 'SQL belongs to the stores of src/']
const stores = ['-store\\.js$', "a store is its own feature's"]
const files = ['^(node:)?fs', 'files belong to src/storage/']
const features = (names) => [
  `/(${names})/`,
  'features depend in one direction: ' +
    '{access, uploads} → courses → {captions, protection, media} → {playback, views}'
]

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', 'data/**', 'uploads/**', '.tap/**'] }),
  {
    rules: {
      '@stylistic/max-len': 'off',
      'no-void': 'off',
      'no-unmodified-loop-condition': 'off',
      // A TypeBox schema and its type share a name.
      '@typescript-eslint/no-redeclare': 'off'
    }
  },
  {
    files: ['web/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'window',
          'document',
          'location',
          'fetch',
          'URL',
          'URLSearchParams',
          'MediaError',
          'setTimeout',
          'clearTimeout',
          'atob'
        ].map((name) => [name, 'readonly'])
      )
    }
  },
  {
    rules: { '@stylistic/max-len': ['error', { code: 120, ignoreRegExpLiterals: true }] }
  },
  forbid(['plugins/**/*.ts', 'migrations/index.ts'], product),
  forbid(['src/**/*.ts'], product, http),
  forbid(['routes/**/*.ts'], product, sql, stores.with(0, '(?<!blob)-store\\.js$'), files, [
    '^\\./',
    'routes do not import one another'
  ]),
  // The list of all routes.
  forbid(['routes/index.ts'], product, sql),
  forbid(['src/embed/**/*.ts'], product, http, sql),
  forbid(['migrations/0*.ts'], ['^(?!kysely$)', 'a migration imports kysely alone']),
  forbid(
    ['src/accounts/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|media|playback|views|limits')
  ),
  forbid(
    ['src/playback/**/*.ts'],
    product,
    http,
    sql,
    features('access|uploads|courses|captions|protection|media|views|accounts|limits')
  ),
  forbid(
    ['src/views/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|media|playback|limits')
  ),
  forbid(
    ['src/limits/**/*.ts'],
    product,
    http,
    sql,
    features('access|uploads|courses|captions|protection|media|playback|views|accounts')
  ),
  forbid(
    ['src/idempotency/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|media|playback|views|accounts|limits')
  ),
  forbid(
    ['src/media/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|renditions|limits')
  ),
  forbid(['src/captions/**/*.ts'], product, http, features('access|uploads|courses|limits|views')),
  forbid(
    ['src/renditions/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|playback|views|accounts|limits')
  ),
  forbid(
    ['src/storage/**/*.ts', 'src/database/**/*.ts'],
    product,
    http,
    features('access|uploads|courses|captions|protection|media|playback|views|accounts|limits')
  ),
  forbid(['src/app.ts', 'src/server.ts', 'src/cli.ts'], product)
]
