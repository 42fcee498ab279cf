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
/** The features that each feature may import: docs/architecture.md, "Who imports whom". */
const imports = {
  accounts: [],
  playback: [],
  views: [],
  limits: [],
  idempotency: [],
  embed: [],
  media: ['accounts', 'playback'],
  captions: ['media'],
  renditions: ['media'],
  protection: ['media', 'playback'],
  backup: ['media'],
  courses: ['accounts', 'media', 'protection', 'views'],
  uploads: ['accounts', 'courses', 'media'],
  grants: ['accounts', 'courses', 'media'],
  access: ['accounts', 'captions', 'courses', 'media', 'playback', 'protection']
}
const withoutSql = ['playback', 'limits', 'embed']
const featuresBut = (allowed) => [
  `/(${Object.keys(imports)
    .filter((name) => !allowed.includes(name))
    .join('|')})/`,
  'features depend on one another in one direction: the list is in eslint.config.js'
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
  forbid(['migrations/0*.ts'], ['^(?!kysely$)', 'a migration imports kysely alone']),
  ...Object.entries(imports).map(([name, allowed]) =>
    forbid(
      [`src/${name}/**/*.ts`],
      product,
      http,
      ...(withoutSql.includes(name) ? [sql] : []),
      featuresBut([name, ...allowed])
    )
  ),
  forbid(['src/storage/**/*.ts', 'src/database/**/*.ts', 'src/jobs/**/*.ts'], product, http, featuresBut([])),
  forbid(['src/app.ts', 'src/server.ts', 'src/cli.ts'], product)
]
