import t, { type Test } from 'tap'
import { postgresEnvironment, withoutPostgres } from '../../support/test-app.js'
import { call, newLinkedMedia, newToken, startServer, type ServerProcess } from '../../support/server-process.js'

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
    const id = await newLinkedMedia(first.origin, token)

    await t.rejects(
      startServer(t, withKeys(NEW, OLD)),
      /a running server does not know this SECRET_KEY/,
      'bug: the first process with a new key sealed all keys by it, and the others answered 500'
    )
    await t.rejects(startServer(t, withKeys(NEW)), /Roll a new key out in two steps/)

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
      /signs with one that is not known here/,
      'nor does a server from before step 1 come back'
    )
    await alsoKnown.end('SIGTERM')
    const alsoSigning = await startServer(t, withKeys(NEW, OLD))
    await opensAll(t, [signing, alsoSigning], token, id, 'step 2 done')
  }
)
