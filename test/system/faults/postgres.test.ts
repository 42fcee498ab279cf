import { sql } from 'kysely'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../../src/config/config.js'
import { openDatabase } from '../../../src/database/open.js'
import { testEnvironment, withoutPostgres } from '../../support/test-app.js'
import { call, eventually, startServer } from '../../support/server-process.js'
import { fixture } from '../../support/fixtures.js'
import { callerOf, form, newLinkedMedia, newToken, overHttp } from '../../support/client.js'
import { startPostgres } from '../../support/services.js'

// A Postgres of the test's own is stopped as by a crash, and started again, under load.

t.test('Postgres stopped in immediate mode and started again under load', async (t) => {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const { env } = await testEnvironment(t, { DATABASE_URL: postgres.url })
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  const media = await newLinkedMedia(overHttp(server.origin), callerOf(token))
  const file = await fixture('tiny.mp3')
  const uploaded: string[] = []
  const odd: string[] = []
  let acknowledgedViews = 0
  let unavailable = 0
  let running = true

  function judge (status: number, body: Record<string, unknown>, headers: Headers): boolean {
    if (status < 300 && status > 0) return true
    if (status === 503 && body.code === 'database_unavailable' && headers.has('retry-after')) unavailable++
    else odd.push(`${status} ${JSON.stringify(body)}`)
    return false
  }
  async function view (): Promise<void> {
    const { status, body, headers } = await call(server.origin, `/media/${media}/view`, { method: 'POST' })
    if (judge(status, body, headers)) acknowledgedViews++
  }
  async function upload (): Promise<void> {
    const { headers, payload } = form([
      { name: 'title', value: 'A sound' },
      { name: 'type', value: 'audio' },
      { name: 'file', value: file, fileName: 'a.mp3' }
    ])
    const reply = await fetch(`${server.origin}/media`, {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${token}` },
      body: payload as Uint8Array<ArrayBuffer>
    })
    const body = (await reply.json()) as Record<string, unknown>
    if (judge(reply.status, body, reply.headers)) uploaded.push(body.id as string)
  }
  async function read (): Promise<void> {
    const { status, body, headers } = await call(server.origin, `/media/${media}/analytics`, { token })
    judge(status, body, headers)
  }
  const lanes = [view, view, view, upload, read].map(async (work) => {
    while (running) await work()
  })

  await eventually('views and uploads go through', () => acknowledgedViews > 50 && uploaded.length > 3)
  process.kill(Number(readFileSync(join(postgres.folder, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGQUIT')
  await eventually('requests are refused', () => unavailable > 20).catch((error: Error) => {
    throw new Error(`${error.message}\n${server.output()}\n${odd.slice(0, 5).join('\n')}`)
  })
  t.equal((await call(server.origin, '/health')).status, 503)
  t.equal((await call(server.origin, '/livez')).status, 200)
  await postgres.server.start()
  const [viewsBefore, uploadsBefore] = [acknowledgedViews, uploaded.length]
  await eventually(
    'it recovers by itself',
    () => acknowledgedViews > viewsBefore + 50 && uploaded.length > uploadsBefore + 3,
    30_000
  )
  running = false
  await Promise.all(lanes)

  t.same(odd, [], 'only 503 problem documents meanwhile')
  const { body } = await call(server.origin, `/media/${media}/analytics`, { token })
  t.ok(
    (body.total_views as number) >= acknowledgedViews,
    `${acknowledgedViews} acknowledged, ${String(body.total_views)} counted`
  )
  const sha256 = createHash('sha256').update(file).digest('hex')
  for (const id of uploaded) {
    const reply = await fetch(`${server.origin}/media/stream/${id}`, { headers: { authorization: `Bearer ${token}` } })
    t.equal(
      createHash('sha256')
        .update(Buffer.from(await reply.arrayBuffer()))
        .digest('hex'),
      sha256,
      'an acknowledged upload is there'
    )
  }
  t.equal(server.child.exitCode, null, 'no process ended')
})

t.test(
  'a connection whose query was given up is not used again (bug: whoever got it next waited behind a server that ' +
    'was gone)',
  { skip: withoutPostgres },
  async (t) => {
    const { hostname, port } = new URL(process.env.TEST_DATABASE_URL!)
    let silent = false
    const lines: Socket[] = []
    const proxy = createServer((client) => {
      const server = connect(Number(port || 5432), hostname || '127.0.0.1')
      lines.push(client, server)
      for (const [from, to] of [
        [client, server],
        [server, client]
      ] as const) {
        from
          .on('data', (data) => {
            if (!silent) to.write(data)
          })
          .on('error', () => {})
          .on('close', () => to.destroy())
      }
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    t.teardown(() => {
      for (const line of lines) line.destroy()
      proxy.close()
    })
    const url = new URL(process.env.TEST_DATABASE_URL!)
    url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const db = openDatabase(
      loadConfig({
        ENVIRONMENT: 'test',
        SECRET_KEY: 'x'.repeat(32),
        DATABASE_URL: url.href,
        DATABASE_POOL_SIZE: '1',
        DATABASE_STATEMENT_TIMEOUT_SECONDS: '1'
      }).database
    )
    t.teardown(() => db.destroy())
    const ask = () => sql<{ one: number }>`select 1 as one`.execute(db)
    t.equal((await ask()).rows[0]!.one, 1)
    silent = true
    await t.rejects(ask(), /Query read timeout/)
    silent = false
    // Whoever is handed the connection while it is being closed is told so at once.
    const took = await eventually('the next is answered', () =>
      ask().then(
        () => true,
        (error: Error) => {
          t.match(error.message, /^Connection terminated/)
          return false
        }
      )
    )
    t.ok(took < 4000, `after ${Math.round(took)} ms`)
  }
)
