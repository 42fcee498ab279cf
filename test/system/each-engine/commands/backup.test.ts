import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { backUp } from '../../../../src/backup/backup.js'
import { openDatabase } from '../../../../src/database/open.js'
import { openDiskStore } from '../../../../src/storage/disk-store.js'
import { playgate } from '../../../support/playgate.js'
import { protectedMedia } from '../../../support/protected-server.js'
import {
  buildTestApp,
  engine,
  openTestApp,
  testEnvironment,
  testPostgres,
  type TestApp
} from '../../../support/test-app.js'
import { fixture } from '../../../support/fixtures.js'
import { signUp, signUpEverybody, upload, type Person } from '../../../support/client.js'

const KILLS = process.env.TEST_LONG ? 100 : 4
const ROUNDS = process.env.TEST_LONG ? 20 : 1

interface Report {
  files: number
  findings: string[]
}

/** An empty place for a restored server: the same secret, another database and other folders. */
async function emptyPlace (t: Test, server: TestApp): Promise<{ env: Record<string, string>; folder: string }> {
  const folder = join(server.folder, `restored-${Math.random().toString(36).slice(2)}`)
  const database = engine === 'postgres' ? await testPostgres(t) : `sqlite:${join(folder, 'data', 'playgate.db')}`
  const env = {
    ...server.env,
    DATA_DIR: join(folder, 'data'),
    UPLOAD_DIR: join(folder, 'uploads'),
    DATABASE_URL: database,
    PATH: process.env.PATH!
  }
  return { env, folder }
}

const withPath = (server: TestApp) => ({ ...server.env, PATH: process.env.PATH! })

async function newMedia (server: TestApp, person: Person, title: string): Promise<string> {
  const reply = await upload(server, person, 'tiny.mp4', { title })
  if (reply.statusCode !== 201) throw new Error(reply.body)
  return reply.json<{ id: string }>().id
}

/** Flips one bit in the middle of a file. */
async function flipBit (path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    const [position, byte] = [Math.floor(size / 2), Buffer.alloc(1)]
    await file.read(byte, 0, 1, position)
    byte[0]! ^= 1
    await file.write(byte, 0, 1, position)
  } finally {
    await file.close()
  }
}

t.test('a backup under uploads and views, restored elsewhere, has all that was acknowledged before it', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await server.listen()
  const sha256 = createHash('sha256').update(await fixture('tiny.mp4')).digest('hex')
  for (let round = 0; round < ROUNDS; round++) {
    const before = [await newMedia(server, instructor, 'before'), await protectedMedia(server, instructor)]
    let isRunning = true
    const load = (async () => {
      while (isRunning) {
        const id = await newMedia(server, instructor, 'meanwhile')
        await server.inject({ method: 'POST', url: `/media/${id}/view`, headers: instructor.headers, payload: {} })
      }
    })()
    const folder = join(server.folder, `backup-${round}`)
    const made = await playgate(withPath(server), ['backup', folder, '--json'])
    isRunning = false
    await load
    t.match(made, { code: 0, err: '' })
    t.match((await playgate(withPath(server), ['verify-backup', folder, '--json'])).json<Report>(), { findings: [] })

    const place = await emptyPlace(t, server)
    const restored = await playgate(place.env, ['restore', folder, '--json'])
    t.equal(restored.code, 0, restored.out + restored.err)
    const twin = await openTestApp(t, place.env, place.folder)
    for (const id of before) {
      const media = await twin.inject({ url: `/media/${id}`, headers: instructor.headers })
      t.match(media.json(), { status: 'ready' })
      const reply = await twin.inject({ url: `/media/${id}/stream-url`, headers: instructor.headers })
      const { pathname, search } = new URL(reply.json<{ stream_url: string }>().stream_url)
      const stream = await twin.inject({ url: pathname + search })
      t.equal(stream.statusCode, 200, 'it plays')
      if (id === before[0]) t.equal(createHash('sha256').update(stream.rawPayload).digest('hex'), sha256)
    }
  }
})

t.test('a bit that flipped in a file, a package or the database is found, and named', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await newMedia(server, instructor, 'A talk')
  await protectedMedia(server, instructor)
  const [row] = await server.query<{ blob_name: string; package_blob: string }>(
    'select blob_name, package_blob from media where package_blob is not null'
  )
  const { blob_name: file, package_blob: packaged } = row!
  const folder = join(server.folder, 'backup')
  t.equal((await playgate(withPath(server), ['backup', folder])).code, 0)
  const database = engine === 'postgres' ? 'database.dump' : 'database.sqlite'
  const damages: Array<[string, RegExp]> = [
    [join('blobs', file), /^the file of ".+" \(.+\) is damaged/],
    [join('blobs', packaged), /^the package of ".+" \(.+\) is damaged/],
    [database, /^database\.(sqlite|dump) is damaged/]
  ]
  for (const [path, finding] of damages) {
    await flipBit(join(folder, path))
    const { code, out } = await playgate(withPath(server), ['verify-backup', folder, '--json'])
    t.match({ code, findings: (JSON.parse(out) as Report).findings }, { code: 1, findings: [finding] }, path)
    if (path === database) {
      const place = await emptyPlace(t, server)
      t.match(await playgate(place.env, ['restore', folder]), { code: 2, err: /is damaged/ })
      t.notOk(await stat(join(place.folder, 'uploads')).catch(() => false), 'nothing was restored')
    }
    await flipBit(join(folder, path))
  }
  await flipBit(join(folder, 'manifest.jsonl.gz'))
  t.match(await playgate(withPath(server), ['verify-backup', folder]), { code: 2, err: /missing or damaged/ })
})

t.test('a backup that was killed is no backup, whenever it was', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  for (let media = 0; media < 20; media++) await newMedia(server, instructor, `talk ${media}`)
  const whole = performance.now()
  t.equal((await playgate(withPath(server), ['backup', join(server.folder, 'whole')])).code, 0)
  const duration = performance.now() - whole
  for (let kill = 0; kill < KILLS; kill++) {
    const folder = join(server.folder, `killed-${kill}`)
    const child = spawn(process.execPath, [join('dist', 'src', 'cli.js'), 'backup', folder], { env: withPath(server) })
    const ended = new Promise((resolve) => child.once('close', resolve))
    setTimeout(() => child.kill('SIGKILL'), duration * ((kill + Math.random()) / KILLS))
    await ended
    const { code, err } = await playgate(withPath(server), ['verify-backup', folder])
    if (code === 0) t.equal((await readdir(join(folder, 'blobs'))).length, 20, 'it was whole already')
    else t.match({ code, err }, { code: 2, err: /is no whole backup/ })
  }
})

t.test('--link copies no bytes, --with-secret has the secret, and nothing is ever overwritten', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await newMedia(server, instructor, 'A talk')
  const folder = join(server.folder, 'backup')
  t.match(await playgate(withPath(server), ['backup', folder, '--link', '--with-secret']), { code: 0 })
  const [name] = await readdir(join(folder, 'blobs'))
  const [linked, stored] = await Promise.all(
    [folder, join(server.folder, 'uploads')].map((parent) => stat(join(parent, 'blobs', name!)))
  )
  t.equal(linked!.ino, stored!.ino)
  t.equal((await readFile(join(folder, 'secret.key'), 'utf8')).trim(), server.env.SECRET_KEY)
  t.equal((await stat(join(folder, 'secret.key'))).mode & 0o777, 0o600)
  t.match(await playgate(withPath(server), ['backup', folder]), { code: 2, err: /is not empty: name a new folder/ })
  t.match(await playgate(withPath(server), ['restore', folder]), { code: 2, err: /is not empty: nothing is overwritten/ })
  t.equal((await server.query('select id from media')).length, 1)
  const { env } = await testEnvironment(t)
  t.match(await playgate({ ...env, PATH: process.env.PATH! }, ['verify-backup', server.folder]), { code: 2 })
})

// With Postgres, the secret is always in the environment.
if (engine === 'sqlite') {
  t.test('a restore brings the secret back, or says that it is missing', async (t) => {
    const server = await buildTestApp(t)
    await signUpEverybody(server)
    for (const [folder, options] of [['with', ['--with-secret']], ['without', []]] as const) {
      const backup = join(server.folder, folder)
      t.match(await playgate(withPath(server), ['backup', backup, ...options]), { code: 0 })
      const { SECRET_KEY, ...env } = (await emptyPlace(t, server)).env
      const { code, out } = await playgate(env, ['restore', backup])
      t.equal(code, 0, out)
      t.equal(/The backup has no secret: before the first start, set SECRET_KEY/.test(out), folder === 'without')
      const secret = await readFile(join(env.DATA_DIR!, 'secret.key'), 'utf8').catch(() => undefined)
      t.equal(secret?.trim(), folder === 'with' ? SECRET_KEY : undefined)
    }
  })
}

t.test('a file that vanishes while the backup runs is no finding: the database is copied again', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const other = await signUp(server)
  const ids = [await newMedia(server, instructor, 'stays'), await newMedia(server, other, 'is deleted')]
  const store = await openDiskStore(server.config.uploadDir)
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  await server.listen()
  let looked = 0
  // Missing when all files are copied, and once more after the first copy of the database.
  const isMissing = () => [2, 3].includes(++looked)
  const blobs = {
    pathOf: (name: string) => (isMissing() ? join(server.folder, 'vanished') : store.pathOf(name)),
    identity: () => store.identity(undefined)
  }
  const folder = join(server.folder, 'backup')
  await mkdir(folder)
  const config = { ...server.config, searchPath: process.env.PATH! }
  const options = { config, db, blobs, folder, link: false, withSecret: false, onProgress: () => {} }
  const { manifest, findings } = await backUp(options)
  t.same(findings, [])
  t.same(manifest.files.map(({ mediaId }) => mediaId).sort(), ids.sort())
})

t.test('a file that is missing in the store is a finding, and the backup has all others', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await newMedia(server, instructor, 'stays')
  await newMedia(server, instructor, 'A lost talk')
  await server.query("update media set blob_name = '00000000-0000-4000-8000-000000000000' where title = 'A lost talk'")
  const folder = join(server.folder, 'backup')
  const { code, out } = await playgate(withPath(server), ['backup', folder, '--json'])
  t.match({ code, report: JSON.parse(out) as Report }, {
    code: 1,
    report: { files: 2, findings: [/^the file of "A lost talk" \(.+\) is missing$/] }
  })
  t.match(await playgate(withPath(server), ['verify-backup', folder]), { code: 1, out: /was missing when the backup/ })
})
