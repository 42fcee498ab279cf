import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const FOLDERS = ['src', 'plugins', 'routes', 'migrations', 'test', 'bench', 'demo']
const FILES = ['build.js', 'eslint.config.js']

/** Packages that no module imports, and what uses each. */
const NOT_IMPORTED: Record<string, string> = {
  '@redocly/cli': 'a command that a test of the API description runs',
  autocannon: 'a command that the benchmarks run',
  'dependency-cruiser': 'a command of `npm run lint`',
  eslint: 'a command of `npm run lint`',
  'hls.js': 'a file that build.js copies',
  oazapfts: 'a command that a test of generated clients runs',
  redoc: 'a file that build.js copies',
  'shaka-player': 'a file that build.js copies'
}

/** Names of the packages that the text of a module imports. */
function packagesIn (text: string): string[] {
  return [...text.matchAll(/(?:from|import|import\(|require\(|resolve\()\s*'([^'.\n][^'\n]*)'/g)].map(([, name]) =>
    name!.split('/', name!.startsWith('@') ? 2 : 1).join('/')
  )
}

function modules (): string[] {
  const inFolders = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name))
  )
  return [...inFolders, ...FILES]
}

t.test('every dependency is imported, or is used as said here (bug: @fastify/static was not)', (t) => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  const imported = new Set(modules().flatMap((file) => packagesIn(readFileSync(file, 'utf8'))))
  const used = (name: string): boolean => imported.has(name) || name in NOT_IMPORTED || name.startsWith('@types/')
  const names = Object.keys({ ...dependencies, ...devDependencies })
  t.same(names.filter((name) => !used(name)), [])
  const stale = Object.keys(NOT_IMPORTED).filter((name) => imported.has(name) || !names.includes(name))
  t.same(stale, [], 'no stale exception')
  t.end()
})
