import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import t from 'tap'
import { buildTestApp, testEnvironment } from '../../support/test-app.js'
import { call, eventually, startServer } from '../../support/server-process.js'
import { newToken } from '../../support/client.js'

const { env, folder } = await testEnvironment(t, { LOG_LEVEL: 'info' })

/** Runs a program in the folder of the test until it ends; answers what it printed. */
async function run (
  more: Record<string, string>,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [resolve('dist/bundle/server.js'), ...args], {
    cwd: folder,
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

t.test("a start that fails says in one sentence what to fix (bug: a stack of other people's code)", async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  await writeFile(join(folder, 'file'), '')
  for (const [more, said] of [
    [
      { PORT: String(port) },
      new RegExp(`^Playgate could not start: port ${port} on 127.0.0.1 is already in use: .*, or set PORT\\n$`)
    ],
    [
      { HOST: '192.0.2.1' },
      /^Playgate could not start: failed to listen on 192\.0\.2\.1: EADDRNOTAVAIL; check HOST and PORT\n$/
    ],
    [
      { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' },
      /^Playgate could not start: failed to open the database: .*ECONNREFUSED.*; run "playgate doctor", or check DATABASE_URL\n$/
    ],
    [
      { UPLOAD_DIR: join(folder, 'file') },
      /^Playgate could not start: failed to use \S+file\/tmp: ENOTDIR; check its owner and mode, DATA_DIR and UPLOAD_DIR\n$/
    ],
    [{ PORT: 'x' }, /^The configuration is not valid:\n {2}PORT: expected integer\n$/]
  ] as Array<[Record<string, string>, RegExp]>) {
    const { code, err } = await run(more)
    t.equal(code, 1)
    t.match(err, said)
  }
  t.match(
    await run({}, '--prcesses', '2'),
    { code: 1, err: /^Playgate could not start: Unknown option '--prcesses'/ },
    'bug: one process was started'
  )
})

t.test('names in .env that nothing reads are said', async (t) => {
  await writeFile(join(folder, '.env'), 'PROT=8000\nLOG_LEVEL=warn\nHOST=192.0.2.1\n')
  t.match((await run({})).err, /^ignored unknown variables in \.env: PROT\n/)
})

t.test('an old name of a variable is in the log once', async (t) => {
  const server = await startServer(t, { ...env, MAX_STREAMS: '7' })
  t.equal(server.output().split('rename MAX_STREAMS to MAX_CONCURRENT_STREAMS').length, 2)
})

t.test('a Redis that is not there at the start is in the log (bug: nothing was)', async (t) => {
  const server = await startServer(t, { ...env, REDIS_URL: 'redis://127.0.0.1:1' })
  t.match(
    server.output(),
    /"level":40,.*"reason":"connect ECONNREFUSED 127\.0\.0\.1:1","msg":"Redis is not available: this process keeps its own limits and cache; check REDIS_URL"/
  )
})

t.test(
  'npm start hands a stop on to the server, which says so; the same signal twice at once is one (bugs: the server ' +
    'lived on; or was cut)',
  async (t) => {
    const npm = spawn('npm', ['start', '--ignore-scripts'], {
      env: { ...env, PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true
    })
    t.teardown(() => {
      try {
        process.kill(-npm.pid!, 'SIGKILL')
      } catch {}
    })
    let out = ''
    npm.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    await eventually('it listens', () => /listens on/.test(out))
    const origin = /listens on (http:\S+)/.exec(out)![1]!
    t.equal((await call(origin, '/livez')).status, 200)
    const ended = once(npm.stdout, 'end')
    // As a terminal does it: all of the group get it, and npm hands on its own.
    process.kill(-npm.pid!, 'SIGINT')
    await ended
    t.match(out, /"msg":"stopping: requests in progress may finish"\}\n.*"msg":"stopped"\}\n$/)
    t.equal((await call(origin, '/livez')).status, 0)
  }
)

t.test('the server that ships, in one file, finds its pages, its workers and its database drivers', async (t) => {
  const { origin } = await startServer(t, env)
  for (const [path, type] of [
    ['/docs/', 'text/html'],
    ['/docs/static/swagger-ui-bundle.js', 'javascript'],
    ['/redoc', 'text/html'],
    ['/redoc/redoc.standalone.js', 'javascript'],
    ['/embed/player.js', 'javascript']
  ] as const) {
    const { status, headers } = await call(origin, path)
    t.match({ status, type: headers.get('content-type') }, { status: 200, type }, path)
  }
  const { status, body } = await call(origin, '/openapi.json')
  t.equal(status, 200)
  t.same(
    body.paths,
    (await (await buildTestApp(t)).app.inject('/openapi.json')).json().paths,
    'the API is that of the modules it was made of'
  )
  t.ok(await newToken(origin, 'bundled@example.org'), 'passwords are hashed by a worker')
})
