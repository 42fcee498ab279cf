import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, startServer } from '../../../support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../../support/client.js'
import { playgate } from '../../../support/playgate.js'

const { env } = await testEnvironment(t)

t.test('help names every command; a wrong call is told from a failure by its exit code', async (t) => {
  for (const args of [[], ['help'], ['--help']]) {
    const { code, out } = await playgate({}, args)
    t.equal(code, 0, args.join())
    for (const command of ['migrate', 'doctor', 'recount', 'prune-views', 'create-admin', 'reset-password', 'sweep']) {
      t.match(out, `\n  ${command}`)
    }
  }
  for (const args of [['explode'], ['toString'], ['--json']]) {
    t.match(
      await playgate(env, args),
      { code: 2, out: new RegExp(`^unknown command: ${args[0]}\\n\\nplaygate <command>`) },
      args.join()
    )
  }
  t.match(await playgate(env, ['--version']), { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
  t.match(await playgate(env, ['sweep', '--help']), { code: 0, out: /^playgate sweep \[--dry-run/ })
  t.match(await playgate(env, ['doctor', '--help']), { code: 0, out: /--json/ })
  t.match(await playgate(env, ['create-admin', '--help']), { code: 0, out: /at least 8 characters, at most 72 bytes/ })
  t.match(await playgate(env, ['recount', '--wrong']), { code: 2, err: /^playgate: Unknown option '--wrong'/ })
  t.match(await playgate({ ...env, PORT: 'x' }, ['doctor']), {
    code: 1,
    err: /^playgate: The configuration is not valid:\n {2}PORT/
  })
})

t.test('migrate brings an empty database to the newest schema, once', async (t) => {
  const { env } = await testEnvironment(t)
  t.match(await playgate(env, ['migrate']), {
    code: 0,
    out: /^applied 001-accounts-media-views\napplied 002-courses\n/
  })
  t.match(await playgate(env, ['migrate']), { code: 0, out: 'Nothing to do.\n' })
  t.same((await playgate(env, ['migrate', '--json'])).json(), { applied: [] })
})

t.test('create-admin', async (t) => {
  const production = { ...env, ENVIRONMENT: 'production' }
  const password = 'a rather long password'

  await t.test('makes, in production, an administrator who can log in', async (t) => {
    t.match(await playgate(production, ['create-admin', 'root@example.org'], `${password}\n`), {
      code: 0,
      out: 'root@example.org is an administrator now.\n'
    })
    const { origin } = await startServer(t, production)
    t.match(await call(origin, '/auth/login', { json: { email: 'root@example.org', password } }), {
      status: 200,
      body: { role: 'admin' }
    })
    t.match(await call(origin, '/auth/signup', { json: { email: 'next@example.org', password } }), {
      status: 201,
      body: { role: 'instructor' }
    })
  })

  await t.test('refuses what signup refuses', async (t) => {
    const refused: Array<[email: string, password: string, why: RegExp]> = [
      ['new@example.org', 'short', /^playgate: password must NOT have fewer than 8/],
      ['new@example.org', '        ', /^playgate: password must not be blank/],
      ['new@example.org', 'password1', /^playgate: password is one of the most common/],
      ['new@example.org', 'ä'.repeat(40), /^playgate: password must not be longer than 72 bytes/],
      ['no-address', password, /^playgate: email must be an email address/],
      ['ROOT@example.org', password, /^playgate: email already has an account: run create-admin with --promote/]
    ]
    for (const [email, password, why] of refused) {
      t.match(await playgate(production, ['create-admin', email], password), { code: 1, out: '', err: why }, why.source)
    }
    t.match(await playgate(production, ['create-admin'], password), { code: 2, err: /needs an email/ })
  })

  await t.test('promotes an account that is there already, with the password that it has', async (t) => {
    t.match(await playgate(production, ['create-admin', '--promote', 'nobody@example.org']), {
      code: 2,
      err: /there is no account nobody@example.org/
    })
    t.match(await playgate(production, ['create-admin', '--promote', 'NEXT@example.org']), {
      code: 0,
      out: 'NEXT@example.org is an administrator now.\n'
    })
    const { origin } = await startServer(t, production)
    t.match(await call(origin, '/auth/login', { json: { email: 'next@example.org', password } }), {
      status: 200,
      body: { role: 'admin' }
    })
  })

  await t.test('answers scripts', async (t) => {
    t.match((await playgate(production, ['create-admin', 'second@example.org', '--json'], password)).json(), {
      id: String,
      email: 'second@example.org',
      role: 'admin'
    })
  })
})

t.test('sweep shows what has no owner, and removes it at once where no server runs', async (t) => {
  const { origin, end } = await startServer(t, env)
  await newLinkedMedia(overHttp(origin), callerOf(await newToken(origin, 'sweeper@example.org')))
  const { uploadDir } = loadConfig(env)
  const stray = [
    ['tmp', 'a-draft'],
    ['blobs', 'a-blob']
  ] as const
  for (const [kind, name] of stray) await writeFile(join(uploadDir, kind, name), 'left over')
  const stored = async () => (await Promise.all(stray.map(([kind]) => readdir(join(uploadDir, kind))))).flat()
  t.match(await playgate(env, ['sweep', '--dry-run']), {
    code: 0,
    out: /orphaned draft a-draft \(9 bytes\)\norphaned blob a-blob \(9 bytes\)\n2 files are orphaned/
  })
  t.same(await stored(), ['a-draft', 'a-blob'])
  if (engine === 'sqlite') {
    t.match(
      await playgate(env, ['sweep', '--no-server-runs']),
      { code: 2, err: /a server runs on this database/ },
      'it is not taken at its word (bug: it removed the uploads of a server that ran)'
    )
  }
  t.same(await stored(), ['a-draft', 'a-blob'])
  await end('SIGTERM')
  t.match((await playgate(env, ['sweep', '--no-server-runs', '--json'])).json(), {
    removed: true,
    items: [{ name: 'a-draft' }, { name: 'a-blob' }]
  })
  t.same(await stored(), [])
})

t.test('reset-password prints a link that sets a new password, once', async (t) => {
  const { env } = await testEnvironment(t, { PUBLIC_URL: 'https://media.example.org' })
  await playgate(env, ['create-admin', 'root@example.org'], 'a rather long password\n')
  const { code, out } = await playgate(env, ['reset-password', 'ROOT@example.org'])
  t.equal(code, 0)
  t.match(out, /^https:\/\/media\.example\.org\/reset#[\w-]{43}\n$/)
  const { origin } = await startServer(t, env)
  const [token, password] = [out.trim().split('#')[1], 'another long password']
  t.match(await call(origin, '/auth/reset', { json: { token, password } }), { status: 204 })
  t.match(await call(origin, '/auth/reset', { json: { token, password } }), { status: 403 })
  t.match(await call(origin, '/auth/login', { json: { email: 'root@example.org', password } }), { status: 200 })
  t.match(await playgate(env, ['reset-password']), { code: 2, err: /needs an email/ })
  t.match(await playgate(env, ['reset-password', 'nobody@example.org']), { code: 2, err: /there is no account/ })
})
