import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { MuxDouble } from '../../../support/mux-double.js'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { freePort } from '../../../support/services.js'
import { playgate } from '../../../support/playgate.js'

interface Finding {
  check: string
  status: 'ok' | 'warn' | 'fail'
  message: string
  fix?: string
}

const { env, folder } = await testEnvironment(t)

t.test('doctor', async (t) => {
  const findings = async (env: Record<string, string>) => {
    const ran = await playgate(env, ['doctor', '--json'])
    return {
      ...ran,
      of: (check: string) => ran.json<{ findings: Finding[] }>().findings.find((one) => one.check === check)
    }
  }

  await t.test('sees what is to come, and then that all is well', async (t) => {
    if (engine === 'sqlite') {
      const { code, of } = await findings(env)
      t.match(
        { code, database: of('database'), schema: of('schema') },
        {
          code: 0,
          database: { status: 'warn', message: `no database at ${join(folder, 'data', 'playgate.db')} yet` },
          schema: undefined
        }
      )
      t.same(await readdir(folder), [], 'bug: to look made what was looked for')
    } else t.match(await findings(env), { code: 0, out: /002-courses/ })
    await playgate(env, ['migrate'])
    const { code, out, of } = await findings(env)
    t.equal(code, 0)
    for (const check of [
      'node',
      'database',
      'schema',
      'uploads',
      'disk',
      'clock',
      'proxies',
      'secret',
      'keys',
      'ffmpeg',
      'mux'
    ]) {
      t.equal(of(check)?.status, 'ok', `${check}: ${out}`)
    }
    t.match(await playgate(env, ['doctor']), { code: 0, out: /^ok {4}node {6}v\d+/ })
  })

  await t.test('says that the database is down, and how to fix it', async (t) => {
    const away = engine === 'sqlite' ? `sqlite:${folder}` : `postgres://postgres@127.0.0.1:${await freePort()}/gone`
    const { code, of } = await findings({ ...env, DATABASE_URL: away })
    t.equal(code, 1)
    t.match(of('database'), { status: 'fail', fix: /DATABASE_URL/ })
    t.equal(of('uploads')?.status, 'ok', 'and looks at all the rest')
    t.match(await playgate({ ...env, DATABASE_URL: away }, ['doctor']), { code: 1, out: /\n {16}→ check .*DATABASE_URL/ })
    t.match(
      await playgate({ ...env, DATABASE_URL: away }, ['recount']),
      { code: 1, err: /^playgate: failed to open the database: .*run "playgate doctor", or check DATABASE_URL\n$/ },
      'no other command prints a stack'
    )
  })

  await t.test('says that Redis is down, and how to fix it', async (t) => {
    const { code, of } = await findings({ ...env, REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
    t.equal(code, 1)
    t.match(of('redis'), { status: 'fail', fix: /REDIS_URL/ })
  })

  await t.test('says that a proxy is not trusted', async (t) => {
    t.match((await findings({ ...env, PUBLIC_URL: 'https://media.example.org' })).of('proxies'), {
      status: 'warn',
      fix: /TRUSTED_PROXIES/
    })
  })

  await t.test('asks Mux whether the account is right', async (t) => {
    const double = await new MuxDouble().start()
    t.teardown(() => double.stop())
    const account = { ...env, ...double.environment() }
    t.match((await findings(account)).of('mux'), { status: 'ok', message: 'responds, for new media' })
    t.match((await findings({ ...account, MUX_SIGNING_KEY_ID: 'another' })).of('mux'), {
      status: 'fail',
      fix: /MUX_SIGNING_KEY_ID/
    })
  })

  await t.test('says that others can read the secret', async (t) => {
    // The server makes its secret only on SQLite: on Postgres SECRET_KEY is required.
    const { SECRET_KEY: _, ...rest } = env
    const without = { ...rest, DATABASE_URL: `sqlite:${join(folder, 'data', 'new.db')}` }
    const path = join(folder, 'data', 'secret.key')
    await mkdir(join(folder, 'data'), { recursive: true })
    await writeFile(path, 'x'.repeat(48), { mode: 0o600 })
    t.match(await findings(without), { code: 0 })
    await chmod(path, 0o644)
    const { code, of } = await findings(without)
    t.equal(code, 1)
    t.match(of('secret'), { status: 'fail', fix: `run chmod 600 ${path}` })
  })
})
