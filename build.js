// `npm run build`: TypeScript to dist/; the files that browsers load to dist/assets, so that nothing is fetched from
// elsewhere at run time; the server in one file to dist/bundle (docs/decisions/0008-bundle.md).
// A step runs only if what it reads or writes has changed since its last run.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const ASSETS = 'dist/assets'
const BUNDLE = 'dist/bundle'
const RECORD = 'dist/.build.json'
/** Changes with every package that npm installs, updates or removes. */
const PACKAGES = 'node_modules/.package-lock.json'
const PRODUCT = ['src', 'plugins', 'routes', 'migrations']
const SOURCES = [...PRODUCT, 'test', 'bench', 'demo']

/** The files that browsers load from packages. */
const LIBRARIES = [
  { to: 'embed/hls.light.min.js', from: 'hls.js/dist/hls.light.min.js' },
  { to: 'embed/shaka-player.hls-es2021.js', from: 'shaka-player/dist/shaka-player.hls-es2021.js' },
  {
    to: 'redoc/redoc.standalone.js',
    from: 'redoc/bundles/redoc.standalone.js',
    // ReDoc would fetch this logo from its maker's site.
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

/** A hash of the names and contents of all that a step reads and writes. Times would miss files of an older commit. */
function fingerprint ({ reads, writes }) {
  const hash = createHash('sha256')
  for (const path of [...reads, ...writes].flatMap(filesIn)) {
    const content = readFileSync(path)
    hash.update(`${path}\0${content.length}\0`).update(content)
  }
  return hash.digest('base64url')
}

/** A file, or all files of a folder but source maps. */
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

/** Deletes what was compiled from sources that are gone, and compiles what has changed. */
function compile () {
  // tsc compares its sources only: without this file it writes every output.
  if (record.TypeScript?.files.some((file) => !existsSync(file))) rmSync('dist/.tsbuildinfo', { force: true })
  for (const file of compiled(SOURCES).flatMap(filesIn)) {
    if (existsSync(file.replace(/^dist\/(.*)\.js$/, '$1.ts'))) continue
    rmSync(file)
    rmSync(`${file}.map`, { force: true })
  }
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc'], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/** Files get the time of the build: package archives carry one time for all versions, and ETags are made of times. */
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
 * The 1,000 commonest passwords that are long enough to be one here, from zxcvbn's list in order of frequency. The
 * whole package costs a server 15 MB of memory.
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

/** Writes one file of 800: it starts in half the time. */
async function bundle () {
  const { build } = await import('esbuild')
  rmSync(BUNDLE, { recursive: true, force: true })
  await build({
    entryPoints: ['dist/src/server.js'],
    outdir: BUNDLE,
    bundle: true,
    // What is imported only where it is needed stays a file of its own.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    // These find files of their own by their place (native code, a worker, pages), or are needed by those.
    external: ['better-sqlite3', 'piscina', 'pino', '@fastify/static', '@fastify/swagger', '@fastify/swagger-ui'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [{ name: 'own-places', setup: keepOwnPlaces }],
    logLevel: 'warning'
  })
}

/** Workers and assets stay where they are: what our own code finds by its place, it finds from there. */
function keepOwnPlaces (bundler) {
  bundler.onLoad({ filter: /\/dist\/(?:src|plugins)\/.*\.js$/ }, ({ path }) => ({
    contents: readFileSync(path, 'utf8').replaceAll(
      'import.meta.url',
      `new URL(${JSON.stringify(relative(BUNDLE, path))}, import.meta.url).href`
    )
  }))
}
