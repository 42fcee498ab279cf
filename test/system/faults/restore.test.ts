import { copyFile, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { SECOND } from '../../../src/time.js'
import { playgate } from '../../support/playgate.js'
import { testEnvironment } from '../../support/test-app.js'
import { call, eventually, startServer } from '../../support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../support/client.js'

// The commands of docs/backup.md, with a real server that is killed.

const titles = async (origin: string, token: string) =>
  (await call(origin, '/media?size=100', { token })).body.items!.length

t.test('a backup beside writes, restored after SIGKILL, is the state of the backup', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'ada@example.org')
  for (let media = 0; media < 5; media++) await newLinkedMedia(overHttp(server.origin), callerOf(token))

  let writing = true
  const writes = (async () => {
    while (writing) await newLinkedMedia(overHttp(server.origin), callerOf(token))
  })()
  const started = await titles(server.origin, token)
  t.match(await playgate(env, ['backup', join(folder, 'backup')]), { code: 0 })
  writing = false
  await writes
  const after = await titles(server.origin, token)
  await newLinkedMedia(overHttp(server.origin), callerOf(token))
  await server.end('SIGKILL')

  const database = join(folder, 'data', 'playgate.db')
  await copyFile(join(folder, 'backup', 'database.sqlite'), database)
  await t.rejects(
    startServer(t, env),
    /was restored next to the log of an older database/,
    'bug: SQLite played the old log into the restored file, and a mixture was served'
  )

  for (const name of ['data', 'uploads']) await rename(join(folder, name), join(folder, `${name}.old`))
  t.match(await playgate(env, ['restore', join(folder, 'backup')]), { code: 0 })
  const restored = await startServer(t, env)
  const found = await titles(restored.origin, token)
  t.ok(
    found >= started && found <= after,
    `${found} media: of ${started} when the backup began, and ${after} when it had ended`
  )
  await eventually('it is ready', async () => (await call(restored.origin, '/readyz')).status === 200)
  t.equal(await restored.end('SIGTERM'), 0)
})

t.test('a copy put beside the log of a killed server is refused (bug: only `vacuum into` was)', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'ada@example.org')
  const database = join(folder, 'data', 'playgate.db')
  await copyFile(database, join(folder, 'copy.db'))
  await newLinkedMedia(overHttp(server.origin), callerOf(token))
  await server.end('SIGKILL')

  const log = await stat(`${database}-wal`)
  await copyFile(join(folder, 'copy.db'), database)
  // Eleven seconds after the last commit: what a checkpoint takes is allowed.
  const later = new Date(log.ctimeMs + 11 * SECOND)
  await utimes(database, later, later)
  await t.rejects(startServer(t, env), /was written after its log: if a backup was restored, remove .*-wal/)

  // What the error says for a server whose files were moved to another machine, say.
  const touched = new Date(log.ctimeMs + 12 * SECOND)
  await utimes(`${database}-wal`, touched, touched)
  const restarted = await startServer(t, env)
  t.equal(await titles(restarted.origin, token), 1)
  t.equal(await restarted.end('SIGTERM'), 0)
})

t.test('a damaged database is refused at the start, and whole again it starts', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const database = join(folder, 'data', 'playgate.db')
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'ada@example.org')
  for (let media = 0; media < 20; media++) await newLinkedMedia(overHttp(server.origin), callerOf(token))
  t.equal(await server.end('SIGTERM'), 0)
  await copyFile(database, `${database}.whole`)

  const file = await open(database, 'r+')
  const { size } = await file.stat()
  for (let page = 3; page < size / 4096; page += 3) await file.write(Buffer.alloc(512, 0x5a), 0, 512, page * 4096)
  await file.close()
  await t.rejects(startServer(t, env), /the database .* is damaged \(.*\): restore a backup/s)
  await rm(database)
  await copyFile(`${database}.whole`, database)
  const restored = await startServer(t, env)
  t.equal((await call(restored.origin, '/media', { token })).status, 200)
})
