import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { openTestApp, testEnvironment, testPostgres, withoutPostgres } from '../../support/test-app.js'
import { mintLink, signUp, upload } from '../../support/client.js'
import { playgate } from '../../support/playgate.js'

t.test('an installation moves from SQLite to Postgres with its files', { skip: withoutPostgres }, async (t) => {
  const {
    env: { DATABASE_URL: _, ...rest },
    folder
  } = await testEnvironment(t)
  const file = join(folder, 'data', 'playgate.db')
  const sqlite = { ...rest, DATABASE_URL: `sqlite:${file}` }
  const postgres = { ...rest, DATABASE_URL: await testPostgres(t) }
  const before = await openTestApp(t, sqlite, folder)
  const ada = await signUp(before)
  const { id } = (await upload(before, ada)).json<{ id: string }>()
  const link = await mintLink(before, id, ada)
  t.equal((await before.inject({ url: link })).statusCode, 200)
  await before.app.close()

  await playgate(postgres, ['migrate'])
  t.match(await playgate(postgres, ['doctor']), {
    code: 1,
    out: /→ .*after a move from SQLite to Postgres, copy the rows first/
  })
  t.equal(await copy(file, postgres.DATABASE_URL), 0)
  t.match(await playgate(postgres, ['doctor']), { code: 0, out: /database and uploads belong together/ })

  const after = await openTestApp(t, postgres, folder)
  t.equal((await after.inject({ url: link })).statusCode, 200, 'links stay valid')
  const figures = await after.inject({ url: `/media/${id}/analytics`, headers: ada.headers })
  t.match(figures.json(), { total_views: 1, unique_ips: 1 })
  const view = await after.inject({ method: 'POST', url: `/media/${id}/view`, headers: ada.headers })
  t.equal(view.statusCode, 200, 'new views get new ids')
  t.not(await copy(file, postgres.DATABASE_URL), 0, 'a database with accounts is refused')
})

/** Runs the script; returns its exit code. */
async function copy (file: string, url: string): Promise<number> {
  const child = spawn(process.execPath, [join('deploy', 'sqlite-to-postgres.mjs'), file, url], { stdio: 'ignore' })
  const [code] = (await once(child, 'close')) as [number]
  return code
}
