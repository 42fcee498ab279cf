// What `npm run build` makes of the compiled code: what it reads, in dist/assets, so that nothing is fetched from
// elsewhere at run time; and the server that ships, in dist/bundle: one file of 800, which starts in half the time
// (docs/decisions/0008-bundle.md).
import { dictionary } from '@zxcvbn-ts/language-common'
import { build } from 'esbuild'
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'

const ASSETS = 'dist/assets'
const BUNDLE = 'dist/bundle'

mkdirSync(ASSETS, { recursive: true })
cpSync('web', `${ASSETS}/embed`, { recursive: true })
copyFileSync('node_modules/hls.js/dist/hls.light.min.js', `${ASSETS}/embed/hls.light.min.js`)
copyFileSync('node_modules/shaka-player/dist/shaka-player.hls-es2021.js', `${ASSETS}/embed/shaka-player.hls-es2021.js`)
copyFileSync('node_modules/redoc/bundles/redoc.standalone.js', `${ASSETS}/redoc.standalone.js`)

// The 1,000 commonest passwords that are long enough to be one here, from zxcvbn's list in order of frequency. The
// whole package costs a server 15 MB of memory.
const commonest = dictionary['passwords-common']
  .map(String)
  .filter((password) => password.length >= 8)
  .slice(0, 1000)
if (commonest.length < 1000) throw new Error('the list of common passwords is shorter than 1,000')
writeFileSync(`${ASSETS}/common-passwords.txt`, commonest.join('\n'))

/** Workers and assets stay where they are: what our own code finds by its place, it finds from there. */
const ownPlaces = {
  name: 'own-places',
  setup (bundler) {
    bundler.onLoad({ filter: /\/dist\/(?:src|plugins)\/.*\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(
        'import.meta.url',
        `new URL(${JSON.stringify(relative(BUNDLE, path))}, import.meta.url).href`
      )
    }))
  }
}

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
  // These find files of their own by their place: native code, a worker, pages.
  external: ['better-sqlite3', 'piscina', 'pino', '@fastify/swagger', '@fastify/swagger-ui'],
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  plugins: [ownPlaces],
  logLevel: 'warning'
})
