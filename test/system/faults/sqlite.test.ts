import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { openTestApp, testEnvironment } from '../../support/test-app.js'
import { call, eventually, load, startServer } from '../../support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../support/client.js'

t.test('SQLite: a server with 50 writers beside recount and prune-views never shows a busy error', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  const [client, owner] = [overHttp(server.origin), callerOf(token)]
  const media = await Promise.all(Array.from({ length: 5 }, () => newLinkedMedia(client, owner)))
  const statuses = new Map<number, number>()
  let running = true
  const maintenance = ['recount', 'prune-views'].map(async (command) => {
    const codes = new Set<number>()
    while (running) {
      codes.add(await run([command, '--json', ...(command === 'prune-views' ? ['--days', '2'] : [])], env))
    }
    return [...codes]
  })
  await load(50, process.env.TEST_LONG ? 30_000 : 6000, async (round) => {
    const { status } =
      round % 10 === 0
        ? await call(server.origin, `/media/${media[round % 5]}`, {
          method: 'PATCH',
          token,
          json: { title: `Title ${round}` }
        })
        : await call(server.origin, `/media/${media[round % 5]}/view`, { method: 'POST' })
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  })
  running = false
  t.same(await Promise.all(maintenance), [[0], [0]], 'the commands work beside it')
  t.same([...statuses.keys()], [200], JSON.stringify([...statuses]))
  t.equal(await server.end('SIGTERM'), 0)
  const after = await openTestApp(t, env, folder)
  t.same(await after.query('pragma integrity_check'), [{ integrity_check: 'ok' }])
  t.equal(await run(['recount', '--dry-run'], env), 0, 'no difference')
})

t.test('SQLite: servers that start on one empty file at once all come up', async (t) => {
  const { env } = await testEnvironment(t)
  const servers = await Promise.all(Array.from({ length: 4 }, () => startServer(t, env)))
  for (const { origin } of servers) {
    await eventually('it is ready', async () => (await call(origin, '/readyz')).status === 200)
  }
})

/** Runs a maintenance command and answers its exit code. */
async function run (args: string[], env: Record<string, string>): Promise<number> {
  const child = spawn(process.execPath, [join('dist', 'src', 'cli.js'), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: 'ignore'
  })
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? -1)))
}
