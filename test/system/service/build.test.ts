import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'

const folder = mkdtempSync(join(tmpdir(), 'playgate-build-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

// A project of two modules, with this build, these packages and these pages.
symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
cpSync('web', join(folder, 'web'), { recursive: true })
cpSync('build.js', join(folder, 'build.js'))
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts }))
const { compilerOptions } = JSON.parse(readFileSync('tsconfig.json', 'utf8')) as { compilerOptions: object }
writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }))
mkdirSync(join(folder, 'src'))
write('src/server.ts', 'process.stdout.write("first")\n')
write('src/other.ts', 'export const other = 1\n')

function write (name: string, text: string): void {
  writeFileSync(join(folder, name), text)
}

/** Runs the build; returns the names of the steps that ran. */
function build (status = 0): string[] {
  const done = spawnSync(process.execPath, ['build.js'], { cwd: folder, encoding: 'utf8' })
  t.equal(done.status, status, `exit status ${status}`) || t.comment(done.stdout + done.stderr)
  return [...done.stderr.matchAll(/^building (\w+) …$/gm)].map(([, name]) => name!)
}

const run = (): string =>
  spawnSync(process.execPath, [join(folder, 'dist/bundle/server.js')], { encoding: 'utf8' }).stdout
const compiled = (): string[] => readdirSync(join(folder, 'dist/src')).filter((name) => name.endsWith('.js'))

t.test('a build runs the steps whose inputs or outputs changed (bug: npm start ran all of them each time)', (t) => {
  t.same(build(), ['TypeScript', 'assets', 'bundle'])
  t.equal(run(), 'first')
  t.same(build(), [], 'nothing changed')

  write('web/embed/player.css', 'video { width: 100% }\n')
  t.same(build(), ['assets'])
  t.equal(readFileSync(join(folder, 'dist/assets/embed/player.css'), 'utf8'), 'video { width: 100% }\n')

  write('src/server.ts', 'process.stdout.write("second")\n')
  t.same(build(), ['TypeScript', 'bundle'])
  t.equal(run(), 'second')

  rmSync(join(folder, 'src/other.ts'))
  t.same(build(), ['TypeScript', 'bundle'])
  t.same(compiled(), ['server.js'], 'what was compiled from a deleted source is deleted')

  rmSync(join(folder, 'dist/src/server.js'))
  t.same(build(), ['TypeScript'], 'a deleted output is written again')
  t.same(compiled(), ['server.js'])

  rmSync(join(folder, 'dist/bundle'), { recursive: true })
  t.same(build(), ['bundle'])
  t.equal(run(), 'second')
  t.end()
})

t.test('npm start says what it builds before the server starts, and nothing once all is built', (t) => {
  rmSync(join(folder, 'dist'), { recursive: true })
  write('src/server.ts', 'process.stdout.write("the server starts")\n')
  const start = (): string[] => {
    const { stdout } = spawnSync('sh', ['-c', 'exec npm start 2>&1'], { cwd: folder, encoding: 'utf8' })
    // npm prints the scripts that it runs.
    return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('> '))
  }
  const steps = ['TypeScript', 'assets', 'bundle'].flatMap((name) => [
    `building ${name} …`,
    new RegExp(`^built ${name} in [0-9.]+ s$`)
  ])
  const first = start()
  t.match(first, [...steps, 'the server starts'])
  t.equal(first.length, steps.length + 1, first.join('\n'))
  t.same(start(), ['the server starts'])
  t.end()
})

t.test('a build that failed runs again', (t) => {
  write('src/server.ts', 'export const wrong: number = "text"\n')
  t.same(build(2), ['TypeScript'])
  t.same(build(2), ['TypeScript'])
  write('src/server.ts', 'process.stdout.write("second")\n')
  t.same(build().slice(0, 1), ['TypeScript'])
  t.equal(run(), 'second')
  t.end()
})
