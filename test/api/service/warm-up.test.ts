import { Ajv } from 'ajv'
import fastify from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdir } from 'node:fs/promises'
import t from 'tap'
import serviceRoutes from '../../../routes/service.js'
import errors from '../../../plugins/errors.js'
import requestUrl from '../../../plugins/origin.js'
import warmUp from '../../../plugins/warm-up.js'
import { createProber } from '../../../src/media/probe/probe.js'
import { rehearse } from '../../../src/process/rehearsal.js'
import { describedOperations } from '../../support/operations.js'
import { buildTestApp, openTestApp, testEnvironment } from '../../support/test-app.js'
import { eventually } from '../../support/server-process.js'
import { mintLink, signUp, upload } from '../../support/client.js'

t.test('/readyz says 503 starting from the first connection until the last warm-up task has ended', async (t) => {
  const health = {
    starting: false,
    stopping: false,
    isDamaged: false,
    lacksKeys: false,
    check: async () => ({
      status: 'ok' as const,
      database: 'up' as const,
      redis: 'off' as const,
      storage: 'up' as const
    })
  }
  const lines: string[] = []
  const app = fastify({
    logger: {
      level: 'warn',
      stream: {
        write: (line: string) => {
          lines.push(line)
        }
      }
    }
  })
  t.teardown(() => app.close())
  let endTask = (): void => {}
  await app.register(requestUrl, { config: { publicUrl: undefined, trustedProxies: [] } })
  await app.register(errors)
  await app.register(serviceRoutes, { health })
  await app.register(warmUp, {
    health,
    prober: createProber(),
    warmUpTasks: {
      slow: () =>
        new Promise<void>((resolve) => {
          endTask = resolve
        }),
      broken: async () => {
        throw new Error('no thread could be started')
      }
    }
  })
  t.equal((await app.inject('/readyz')).statusCode, 200, 'nothing waits for a server that does not listen')

  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const starting = await fetch(`${origin}/readyz`)
  t.match(await starting.json(), { code: 'starting' })
  t.equal(starting.status, 503)
  t.equal(starting.headers.get('retry-after'), '1')
  t.equal((await fetch(`${origin}/livez`)).status, 200, 'it is alive')
  t.match(lines.join(''), /"task":"broken","msg":"warm-up failed: the first requests will be slower"/)
  endTask()
  await eventually('it is ready', async () => (await fetch(`${origin}/readyz`)).status === 200)
  health.stopping = true
  t.match(await (await fetch(`${origin}/readyz`)).json(), { code: 'shutting_down' })
  t.notMatch(lines.join(''), /"level":50/, 'bug: each readiness probe was logged as an error')
})

t.test(
  'once it is ready, the first login, upload, link and view start no worker and compile no schema (bug: 0.3 s each)',
  async (t) => {
    const compiled = new Set<unknown>()
    const compile = Ajv.prototype.compile
    Ajv.prototype.compile = function (this: Ajv, ...args: Parameters<typeof compile>) {
      const validate = compile.apply(this, args)
      if (ready && !compiled.has(validate)) late.push(`a schema: ${JSON.stringify(args[0])}`)
      compiled.add(validate)
      return validate
    } as typeof compile
    t.teardown(() => {
      Ajv.prototype.compile = compile
    })
    const late: string[] = []
    let ready = false
    const before = await buildTestApp(t)
    const ada = await signUp(before)
    const server = await openTestApp(t, before.env, before.folder, { warmUp: true })
    const origin = await server.listen()
    await eventually('it is ready', async () => (await fetch(`${origin}/readyz`)).status === 200)

    ready = true
    const onWorker = (): void => {
      late.push('a worker thread')
    }
    const onProcess = (): void => {
      late.push('a process')
    }
    process.on('worker', onWorker)
    subscribe('child_process', onProcess)
    t.teardown(() => {
      process.off('worker', onWorker)
      unsubscribe('child_process', onProcess)
    })
    const credentials = { email: ada.email, password: 'secure_password123' }
    t.equal((await server.inject({ method: 'POST', url: '/auth/login', payload: credentials })).statusCode, 200)
    const media = (await upload(server, ada)).json<{ id: string }>()
    t.equal((await server.inject({ url: await mintLink(server, media.id, ada) })).statusCode, 200)
    t.equal(
      (await server.inject({ method: 'POST', url: `/media/${media.id}/view`, headers: ada.headers })).statusCode,
      200
    )
    t.same(late, [])
  }
)

t.test('the rehearsal of a start leaves no row, file, view, log line, metric or folder', async (t) => {
  const lines: string[] = []
  const { env, folder } = await testEnvironment(t)
  const { TMPDIR: before } = process.env
  process.env.TMPDIR = folder
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  let isRehearsed = false
  const server = await openTestApp(t, env, folder, {
    warmUp: true,
    rehearse: async (prober) => {
      await rehearse(prober)
      isRehearsed = true
    },
    logger: { level: 'info', stream: { write: (line: string) => void lines.push(line) } }
  })
  const origin = await server.listen()
  await eventually('it is ready', async () => (await fetch(`${origin}/readyz`)).status === 200)

  t.ok(isRehearsed, lines.join(''))
  for (const table of ['accounts', 'sessions', 'media', 'views', 'view_totals', 'view_days', 'view_viewers', 'jobs']) {
    t.same(await server.query(`select * from ${table}`), [], table)
  }
  t.same(await server.storedFiles(), [])
  const metrics = await (await fetch(`${origin}/metrics`)).text()
  t.match(metrics, /^playgate_requests_total\{method="GET",route="\/readyz",status="200"\} /m)
  t.notMatch(metrics, /^playgate_requests_total\{.*(?:auth|media)/m)
  t.notMatch(metrics, /^playgate_views_total\{/m)
  t.notMatch(lines.join(''), /"level":(?:40|50)|auth\/|"url":"\/media/)
  t.same(
    (await readdir(folder)).filter((name) => name.startsWith('playgate-rehearsal')),
    []
  )
})

t.test('no response has alternatives: its first serialization would compile a schema (bug: 3 ms)', async (t) => {
  const server = await buildTestApp(t)
  for (const [name, { responses }] of await describedOperations(server)) {
    for (const [status, response] of Object.entries(responses)) {
      if (status.startsWith('2')) t.notMatch(JSON.stringify(response), /"(?:anyOf|oneOf)"/, `${name} ${status}`)
    }
  }
})
