import { randomUUID } from 'node:crypto'
import t from 'tap'
import { insertSession } from '../../../src/accounts/session-store.js'
import { openDatabase } from '../../../src/database/open.js'
import { buildTestApp } from '../../support/test-app.js'
import { signUp } from '../../support/client.js'

const MAX_SESSIONS = 3
const DAY = 86_400_000

t.test('a login after a clock that was ahead is never the session that is dropped (bug: it was)', async (t) => {
  const server = await buildTestApp(t)
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const now = server.clock.now
  for (const [what, ahead] of [['ten years', 3650 * DAY], ['an hour', DAY / 24]] as const) {
    const { id: accountId } = await signUp(server)
    const { password_hash: passwordHash } = await db
      .selectFrom('accounts')
      .select('password_hash')
      .where('id', '=', accountId)
      .executeTakeFirstOrThrow()
    const logIn = async (createdAt: number) => {
      const id = randomUUID()
      const tokens = { tokenHash: randomUUID(), familyHash: null, tokenExpiresAt: createdAt + DAY }
      const session = { id, accountId, createdAt, expiresAt: createdAt + DAY, ...tokens }
      await db.transaction().execute((trx) => insertSession(trx, session, passwordHash, MAX_SESSIONS))
      return id
    }
    const sessions = async () =>
      (await db.selectFrom('sessions').select('id').where('account_id', '=', accountId).execute()).map(({ id }) => id)

    for (let index = 0; index < MAX_SESSIONS; index++) await logIn(now + ahead + index)
    const logins: string[] = []
    for (let index = 0; index < 5; index++) {
      logins.push(await logIn(now + index))
      const kept = await sessions()
      t.equal(kept.length, MAX_SESSIONS)
      t.ok(logins.slice(-MAX_SESSIONS).every((id) => kept.includes(id)), `${what} ahead: login ${index + 1} stays`)
    }
    const skewed = await logIn(now + 1000)
    logins.push(await logIn(now + 5))
    t.ok((await sessions()).includes(skewed), 'a server whose clock is a second ahead counts as right')
  }
})
