import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript'
import t from 'tap'
import ts from 'typescript'
import { buildTestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import type { Stories } from '../../support/clients/story.js'

const run = promisify(execFile)
const modules = resolve('node_modules')
/** A strict project that uses only what browsers and Node share. */
const strict = {
  strict: true,
  noUncheckedIndexedAccess: true,
  noEmitOnError: true,
  target: 'ES2022',
  lib: ['ES2023', 'DOM', 'DOM.Iterable'],
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  verbatimModuleSyntax: true,
  skipLibCheck: true,
  types: [],
  rootDir: '..',
  outDir: '../out'
}
/** The runtime of oazapfts 7.5 does not support `exactOptionalPropertyTypes`. Its callers do. */
const clientProject = { compilerOptions: { ...strict, composite: true } }
const storiesProject = {
  compilerOptions: { ...strict, exactOptionalPropertyTypes: true },
  references: [{ path: '../client' }]
}

const movie = await fixture('tiny.mp4')
const sha256 = createHash('sha256').update(movie).digest('hex')
const film = {
  hashes: [sha256, sha256],
  codecs: ['h264', 'aac'],
  range: [206, 1000],
  views: { total: 2, unique: 1, perDay: [2], logged: 2, message: 'View logged successfully' },
  revoked: 204,
  afterRevocation: 403
}
const course = {
  roles: ['instructor', 'student'],
  batch: { successful: 2, files: ['movie.mp4', 'movie.mp4'], errors: [undefined, undefined] },
  courses: ['Compilers'],
  lectures: ['Lexing', 'Parsing', 'Linking'],
  access: [206, 204, 403],
  progress: { reported: 1, completed: false },
  analytics: { subscribers: 1, started: [1, 0, 0] }
}

const folder = await mkdtemp(join(tmpdir(), 'playgate-clients-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const described = await buildTestApp(t)
const document = (await described.inject({ url: '/openapi.json' })).body

t.test('clients generated from openapi.json compile in a strict project', async () => {
  await cp(resolve('test/support/clients/stories'), join(folder, 'stories'), { recursive: true })
  await cp(resolve('test/support/clients/story.ts'), join(folder, 'story.ts'))
  await symlink(modules, join(folder, 'node_modules'))
  await mkdir(join(folder, 'client'))
  await writeJson('package.json', { type: 'module' })
  await writeJson('client/tsconfig.json', clientProject)
  await writeJson('stories/tsconfig.json', storiesProject)
  await writeFile(join(folder, 'openapi.json'), document)
  await Promise.all([openapiTypescript(), oazapfts()])
  await run(process.execPath, [join(modules, 'typescript/bin/tsc'), '--build', join(folder, 'stories')]).catch(
    (error: { stdout: string }) => {
      throw new Error(error.stdout)
    }
  )
})

for (const client of ['openapi-fetch', 'oazapfts']) {
  t.test(`${client} runs the README's two stories`, async (t) => {
    const stories = (await import(pathToFileURL(join(folder, `out/stories/${client}.js`)).href)) as Stories
    const origin = await (await buildTestApp(t)).listen()
    const file = new File([movie], 'movie.mp4', { type: 'video/mp4' })
    t.same(await stories.film(origin, file), film)
    t.same(await stories.course(origin, file), course)
    t.same(await stories.refusal(origin), { status: 422, code: 'validation_failed', paths: ['password'] })
  })
}

async function writeJson (name: string, value: object): Promise<void> {
  await writeFile(join(folder, name), JSON.stringify(value))
}

/** The documentation of openapi-typescript recommends this transform for files: a `binary` string is a Blob. */
async function openapiTypescript (): Promise<void> {
  const blob = ts.factory.createTypeReferenceNode('Blob')
  const types = await openapiTS(JSON.parse(document) as OpenAPI3, {
    transform: ({ format }) => (format === 'binary' ? blob : undefined)
  })
  await writeFile(join(folder, 'stories/openapi-typescript.ts'), astToString(types))
}

async function oazapfts (): Promise<void> {
  const files = [join(folder, 'openapi.json'), join(folder, 'client/oazapfts.ts')]
  const options = ['--argumentStyle=object', '--useUnknown']
  await run(process.execPath, [join(modules, 'oazapfts/dist/cli.js'), ...files, ...options])
}
