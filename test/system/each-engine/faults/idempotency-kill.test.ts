import { createHash } from 'node:crypto'
import t from 'tap'
import { call, startServer } from '../../../support/server-process.js'
import { testEnvironment } from '../../../support/test-app.js'
import { form, newToken } from '../../../support/client.js'
import { fixture } from '../../../support/fixtures.js'
import { noStrace, strace } from '../../../support/strace.js'
import { rowsOf } from '../../../support/workload.js'

/** After the commit, the server marks the file, and then responds. Which calls exist differs by processor. */
const MARK = '?chmod,?fchmodat'

t.test(
  'if the server dies between the commit and its response, the retry gets the response, and nothing is made twice',
  { skip: noStrace },
  async (t) => {
    const { env } = await testEnvironment(t)
    const first = await startServer(t, env)
    const token = await newToken(first.origin, 'owner@example.org')
    const file = await fixture('tiny.ogg')
    const { headers, payload } = form([
      { name: 'title', value: 'A song' },
      { name: 'type', value: 'audio' },
      { name: 'file', value: file, fileName: 'a.ogg' }
    ])
    const send = (origin: string) =>
      call(origin, '/media', {
        method: 'POST',
        token,
        body: payload,
        headers: { ...headers, 'idempotency-key': 'after-the-crash' }
      })

    await strace(t, first.child.pid!, { calls: MARK, inject: 'signal=KILL:when=1' })
    t.equal((await send(first.origin)).status, 0, 'no response')
    await first.end()
    const media = await rowsOf<{ id: string }>(env, 'select id from media')
    t.equal(media.length, 1, 'the media is committed')

    const second = await startServer(t, env)
    const [retry, again] = [await send(second.origin), await send(second.origin)]
    t.equal(retry.status, 201)
    t.equal(retry.headers.get('idempotency-replayed'), 'true')
    t.equal(retry.body.id, media[0]!.id)
    t.equal(retry.body.sha256, createHash('sha256').update(file).digest('hex'))
    t.equal(retry.headers.get('location'), `/media/${String(media[0]!.id)}`)
    t.same(again.body, retry.body)
    t.equal((await rowsOf(env, 'select id from media')).length, 1)
  }
)
