// `npm run build` compiles TypeScript to dist/ and bundles the server in dist/bundle (docs/decisions/0008-bundle.md).
// It copies the files that browsers load to dist/assets, so that pages load nothing from other sites.
// A step runs only if its inputs or outputs have changed since its last run.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const ASSETS = 'dist/assets'
const BUNDLE = 'dist/bundle'
const RECORD = 'dist/.build.json'
/** npm rewrites this file when it installs, updates or removes a package. */
const PACKAGES = 'node_modules/.package-lock.json'
const PRODUCT = ['src', 'plugins', 'routes', 'migrations']
const SOURCES = [...PRODUCT, 'test', 'bench', 'demo']

/** Files of npm packages that browsers load. */
const LIBRARIES = [
  { to: 'embed/hls.light.min.js', from: 'hls.js/dist/hls.light.min.js' },
  { to: 'embed/shaka-player.hls-es2021.js', from: 'shaka-player/dist/shaka-player.hls-es2021.js' },
  {
    to: 'redoc/redoc.standalone.js',
    from: 'redoc/bundles/redoc.standalone.js',
    // Without this change, ReDoc loads the logo from its vendor's site.
    replace: ['https://cdn.redoc.ly/redoc/logo-mini.svg', 'data:,']
  }
]

const STEPS = [
  { name: 'TypeScript', reads: [...SOURCES, 'tsconfig.json', PACKAGES], writes: compiled(SOURCES), run: compile },
  { name: 'assets', reads: ['web', 'build.js', PACKAGES], writes: [ASSETS], run: writeAssets },
  { name: 'bundle', reads: [...compiled(PRODUCT), 'build.js', PACKAGES], writes: [BUNDLE], run: bundle }
]

const record = existsSync(RECORD) ? JSON.parse(readFileSync(RECORD, 'utf8')) : {}
for (const step of STEPS) {
  if (record[step.name]?.fingerprint === fingerprint(step)) continue
  const start = performance.now()
  process.stderr.write(`building ${step.name} …\n`)
  await step.run()
  process.stderr.write(`built ${step.name} in ${((performance.now() - start) / 1000).toFixed(1)} s\n`)
  record[step.name] = { fingerprint: fingerprint(step), files: step.writes.flatMap(filesIn) }
  writeFileSync(RECORD, JSON.stringify(record))
}

/**
 * Returns a hash of the names and contents of a step's inputs and outputs. Modification times do not detect a checkout
 * of an older commit.
 */
function fingerprint ({ reads, writes }) {
  const hash = createHash('sha256')
  for (const path of [...reads, ...writes].flatMap(filesIn)) {
    const content = readFileSync(path)
    hash.update(`${path}\0${content.length}\0`).update(content)
  }
  return hash.digest('base64url')
}

/** Returns the path itself if it is a file, or the paths of all files in a folder except source maps. */
function filesIn (path) {
  if (!existsSync(path)) return []
  if (statSync(path).isFile()) return [path]
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

function compiled (folders) {
  return folders.map((folder) => `dist/${folder}`)
}

/** Deletes the output of deleted sources, and compiles changed sources. */
function compile () {
  // tsc detects changed sources, but not deleted output. Without this file it writes all output.
  if (record.TypeScript?.files.some((file) => !existsSync(file))) rmSync('dist/.tsbuildinfo', { force: true })
  for (const file of compiled(SOURCES).flatMap(filesIn)) {
    if (existsSync(file.replace(/^dist\/(.*)\.js$/, '$1.ts'))) continue
    rmSync(file)
    rmSync(`${file}.map`, { force: true })
  }
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc'], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/**
 * Writes the assets with the time of the build, which their ETags contain. Files in npm packages have the same time in
 * every version.
 */
async function writeAssets () {
  rmSync(ASSETS, { recursive: true, force: true })
  cpSync('web', ASSETS, { recursive: true })
  for (const { to, from, replace } of LIBRARIES) {
    const text = readFileSync(join('node_modules', from), 'utf8')
    if (replace !== undefined && !text.includes(replace[0])) throw new Error(`${from} has no ${replace[0]}`)
    mkdirSync(dirname(join(ASSETS, to)), { recursive: true })
    writeFileSync(join(ASSETS, to), replace === undefined ? text : text.replaceAll(...replace))
  }
  writeFileSync(`${ASSETS}/common-passwords.txt`, (await commonPasswords()).join('\n'))
}

/**
 * Returns the 1,000 most common passwords with at least 8 characters, from zxcvbn's list in order of frequency. The
 * server does not load the whole package, because it needs 15 MB of memory.
 */
async function commonPasswords () {
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  const commonest = dictionary['passwords-common']
    .map(String)
    .filter((password) => password.length >= 8)
    .slice(0, 1000)
  if (commonest.length < 1000) throw new Error('the list of common passwords is shorter than 1,000')
  return commonest
}

/** Bundles 800 files into one, which halves the start time of the server. */
async function bundle () {
  const { build } = await import('esbuild')
  rmSync(BUNDLE, { recursive: true, force: true })
  await build({
    entryPoints: ['dist/src/server.js'],
    outdir: BUNDLE,
    bundle: true,
    // Modules with a dynamic import stay separate files.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    // These packages load files relative to their own path (native code, a worker, pages), or depend on such a package.
    external: ['better-sqlite3', 'piscina', 'pino', '@fastify/static', '@fastify/swagger', '@fastify/swagger-ui'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [{ name: 'own-places', setup: keepOwnPlaces }],
    logLevel: 'warning'
  })
}

/** Keeps `import.meta.url` of our modules as in dist/, because they find workers and assets by that path. */
function keepOwnPlaces (bundler) {
  bundler.onLoad({ filter: /\/dist\/(?:src|plugins)\/.*\.js$/ }, ({ path }) => ({
    contents: readFileSync(path, 'utf8').replaceAll(
      'import.meta.url',
      `new URL(${JSON.stringify(relative(BUNDLE, path))}, import.meta.url).href`
    )
  }))
}
