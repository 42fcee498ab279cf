import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/config.js'
import { postgresEnvironment, queryDatabase, withoutPostgres } from '../../support/test-app.js'
import { call, eventually, startServer, type ServerProcess } from '../../support/server-process.js'
import { fixture } from '../../support/fixtures.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../support/client.js'

// Real processes on one Postgres. SQLite has one process, and so no rolling change.
const [OLD, NEW] = [
  'the old secret of at least thirty-two characters',
  'the new secret of at least thirty-two characters'
]

/** Every server mints a link, and every server opens it. */
async function opensAll (t: Test, servers: ServerProcess[], token: string, id: string, name: string): Promise<void> {
  for (const [from, minter] of servers.entries()) {
    const { pathname, search } = new URL(
      (await call(minter.origin, `/media/${id}/stream-url`, { token })).body.stream_url as string
    )
    for (const [to, opener] of servers.entries()) {
      const reply = await fetch(opener.origin + pathname + search, { redirect: 'manual' })
      t.equal(reply.status, 302, `${name}: a link of server ${from} opens on server ${to}`)
    }
  }
}

t.test(
  'a new SECRET_KEY is rolled out in two steps, and no link is refused on the way',
  { skip: withoutPostgres },
  async (t) => {
    const { env } = await postgresEnvironment(t)
    const withKeys = (current: string, others = '') => ({ ...env, SECRET_KEY: current, SECRET_KEYS_PREVIOUS: others })
    const [first, second] = [await startServer(t, withKeys(OLD)), await startServer(t, withKeys(OLD))]
    const token = await newToken(first.origin, 'ada@example.org')
    const id = await newLinkedMedia(overHttp(first.origin), callerOf(token))

    await t.rejects(
      startServer(t, withKeys(NEW, OLD)),
      /a running server does not know this SECRET_KEY/,
      'bug: the first process with a new key sealed all keys by it, and the others answered 500'
    )
    await t.rejects(startServer(t, withKeys(NEW)), /roll out a new key in two steps/)

    await first.end('SIGTERM')
    const known = await startServer(t, withKeys(OLD, NEW))
    await opensAll(t, [known, second], token, id, 'step 1 half way')
    await t.rejects(
      startServer(t, withKeys(NEW, OLD)),
      /does not know this SECRET_KEY/,
      'step 2 begins when step 1 is done'
    )
    await second.end('SIGTERM')
    const alsoKnown = await startServer(t, withKeys(OLD, NEW))

    await known.end('SIGTERM')
    const signing = await startServer(t, withKeys(NEW, OLD))
    await opensAll(t, [signing, alsoKnown], token, id, 'step 2 half way')
    await t.rejects(
      startServer(t, withKeys(OLD)),
      /this server does not know its key/,
      'nor does a server from before step 1 come back'
    )
    await alsoKnown.end('SIGTERM')
    const alsoSigning = await startServer(t, withKeys(NEW, OLD))
    await opensAll(t, [signing, alsoSigning], token, id, 'step 2 done')
  }
)

/** Uploads a protected media; resolves with the path of its stream once it is packaged. */
async function newProtectedStream ({ origin }: ServerProcess, token: string): Promise<string> {
  const body = new FormData()
  for (const [name, value] of Object.entries({ title: 'A talk', type: 'video', protection: 'encrypted' })) {
    body.append(name, value)
  }
  body.append('file', new Blob([new Uint8Array(await fixture('tiny.mp4'))]), 'tiny.mp4')
  const headers = { authorization: `Bearer ${token}` }
  const { id } = (await (await fetch(`${origin}/media`, { method: 'POST', headers, body })).json()) as { id: string }
  await eventually(
    'it is packaged',
    async () => (await call(origin, `/media/${id}`, { token })).body.status === 'ready'
  )
  const link = (await call(origin, `/media/${id}/stream-url`, { token })).body.stream_url as string
  return new URL('.', link).pathname
}

t.test(
  'a process that was frozen while a new key came is not ready, and refuses a key that it cannot open as 503 ' +
    '(bug: it went on beside the new one, with 500 for keys)',
  { skip: withoutPostgres },
  async (t) => {
    const { env } = await postgresEnvironment(t)
    const config = loadConfig(env)
    const frozen = await startServer(t, { ...env, SECRET_KEY: OLD, LOG_LEVEL: 'error' })
    const token = await newToken(frozen.origin, 'ada@example.org')
    const stream = await newProtectedStream(frozen, token)
    t.equal((await call(frozen.origin, `${stream}content.key`)).status, 200)

    frozen.child.kill('SIGSTOP')
    await queryDatabase(config, 'update server_processes set seen_at = seen_at - 61000')
    const fresh = await startServer(t, { ...env, SECRET_KEY: NEW, SECRET_KEYS_PREVIOUS: OLD })
    await eventually('the new one is ready', async () => (await call(fresh.origin, '/readyz')).status === 200)
    frozen.child.kill('SIGCONT')

    await eventually('the other is not', async () => (await call(frozen.origin, '/readyz')).status === 503)
    t.match((await call(frozen.origin, '/readyz')).body, { code: 'secret_key_missing' })
    t.match(frozen.output(), /a server with another SECRET_KEY started.*restart this one/)
    const askForKey = () => call(frozen.origin, `${stream}content.key`)
    await eventually('the key is sealed by the new one', async () => (await askForKey()).status !== 200)
    const refused = await askForKey()
    t.match([refused.status, refused.body.code, refused.headers.get('retry-after')], [503, 'secret_key_missing', '30'])
    t.equal((await call(fresh.origin, `${stream}content.key`)).status, 200, 'the new one opens it')
    t.equal((await call(fresh.origin, '/readyz')).status, 200, 'and stays ready')
    t.equal((await queryDatabase(config, 'select * from server_processes')).length, 1)
  }
)

t.test('a process that was killed with its clock ahead keeps nobody out', { skip: withoutPostgres }, async (t) => {
  const { env } = await postgresEnvironment(t)
  const first = await startServer(t, { ...env, SECRET_KEY: OLD })
  await first.end('SIGKILL')
  await queryDatabase(loadConfig(env), 'update server_processes set seen_at = seen_at + 3600000')
  const { origin } = await startServer(t, { ...env, SECRET_KEY: NEW, SECRET_KEYS_PREVIOUS: OLD })
  t.equal((await call(origin, '/livez')).status, 200, 'bug: a row from the future blocked every change of the key')
})
