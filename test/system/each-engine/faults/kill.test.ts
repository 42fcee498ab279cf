import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { testEnvironment } from '../../../support/test-app.js'
import { startServer } from '../../../support/server-process.js'
import { form, newToken } from '../../../support/client.js'
import { rowsOf, sha256, startVictim, wav } from '../../../support/workload.js'

const KILLS = process.env.TEST_LONG ? 200 : 10
const MiB = 1024 * 1024

t.test(
  `of ${KILLS} SIGKILLs at random moments none loses what was acknowledged, nor leaves anything half made`,
  { timeout: 3_600_000 },
  async (t) => {
    const victim = await startVictim(t)
    for (let kill = 1; kill <= KILLS; kill++) {
      const work = victim.work()
      const wanted = victim.uploads.size + (kill % 2) * 3
      await sleep(Math.random() * 600)
      // Every other one dies as it is, however little it has done; the others have something to lose.
      while (victim.uploads.size < wanted) await sleep(20)
      victim.server.child.kill('SIGKILL')
      await work
      await victim.restart()
      await victim.check(t, `kill ${kill}`)
    }
    t.same(victim.odd, [], 'nothing was refused')
    t.ok(victim.uploads.size > KILLS / 2 && victim.views > 0)
    const headers = { authorization: `Bearer ${victim.token}` }
    const wrong = []
    for (const [id, hash] of victim.uploads) {
      const reply = await fetch(`${victim.server.origin}/media/stream/${id}`, { headers })
      if (sha256(Buffer.from(await reply.arrayBuffer())) !== hash) wrong.push(id)
    }
    t.same(
      wrong,
      [],
      `${victim.uploads.size} acknowledged uploads stream as they were sent; ${victim.views} views were acknowledged`
    )
    t.equal(await victim.server.end('SIGTERM'), 0)
  }
)

t.test(
  'SIGTERM lets a slow download and a running upload finish, does not wait for idle sockets, and exits 0',
  async (t) => {
    const { env } = await testEnvironment(t)
    const { child, origin, end } = await startServer(t, env)
    const headers = { authorization: `Bearer ${await newToken(origin, 'owner@example.org')}` }
    const content = wav(32 * MiB)
    const { headers: type, payload } = form([
      { name: 'title', value: 'Silence' },
      { name: 'type', value: 'audio' },
      { name: 'file', value: content, fileName: 'a' }
    ])
    const made = await fetch(`${origin}/media`, {
      method: 'POST',
      headers: { ...headers, ...type },
      body: new Uint8Array(payload)
    })
    t.equal(made.status, 201)
    const { id } = (await made.json()) as { id: string }

    const idle = request(`${origin}/livez`, { agent: new Agent({ keepAlive: true }) }).end()
    const [live] = (await once(idle, 'response')) as [IncomingMessage]
    live.resume()
    const download = request(`${origin}/media/stream/${id}`, { headers, agent: false }).end()
    const [stream] = (await once(download, 'response')) as [IncomingMessage]
    const upload = request(`${origin}/media`, {
      method: 'POST',
      headers: { ...headers, ...type, 'content-length': payload.length },
      agent: false
    })
    upload.write(payload.subarray(0, MiB))
    await sleep(300)

    const exit = end('SIGTERM')
    await sleep(500)
    t.equal(child.exitCode, null, 'work is under way')
    await t.rejects(fetch(`${origin}/livez`), 'no new connection is taken')
    const answer = once(upload, 'response') as Promise<[IncomingMessage]>
    upload.end(payload.subarray(MiB))
    const hash = createHash('sha256')
    for await (const chunk of stream) hash.update(chunk as Buffer)
    t.equal(hash.digest('hex'), sha256(content), 'the download is whole')
    const [reply] = await answer
    t.equal(reply.statusCode, 201, 'the upload is taken')
    reply.resume()
    const finished = Date.now()
    t.equal(await exit, 0)
    t.ok(Date.now() - finished < 15_000, 'an idle socket does not hold it up')
    t.equal((await rowsOf(env, 'select id from media')).length, 2)
  }
)
