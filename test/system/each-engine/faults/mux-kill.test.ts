import t from 'tap'
import { MuxDouble } from '../../../support/mux-double.js'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { fixture } from '../../../support/fixtures.js'
import { callerOf, newToken, overHttp, upload } from '../../../support/client.js'

const MiB = 1024 * 1024
/** A killed process' lease ends after half a minute where there may be others. */
const LIMIT_MS = 120_000

/** A video with bytes behind it that no player minds (ISO/IEC 14496-12, 8.1.2), so that it takes several pieces. */
async function film (): Promise<Buffer> {
  const box = Buffer.alloc(40 * MiB)
  box.writeUInt32BE(box.length, 0)
  box.write('free', 4)
  return Buffer.concat([await fixture('tiny.mp4'), box])
}

t.test(
  'killed at any moment on the way to Mux, a media is ready after the restart, with one asset and every byte',
  { timeout: 600_000 },
  async (t) => {
    const mux = await new MuxDouble().start()
    t.teardown(() => mux.stop())
    const { env } = await testEnvironment(t, mux.environment())
    const content = await film()
    let server = await startServer(t, env)
    let twin = engine === 'postgres' ? await startServer(t, env) : undefined
    const token = await newToken(server.origin, 'owner@example.org')

    async function uploadEncrypted (): Promise<string> {
      const reply = await upload(overHttp(server.origin), callerOf(token), content, { protection: 'encrypted' })
      const { id, status } = reply.json<{ id: string; status: string }>()
      t.equal(status, 'processing')
      return id
    }

    let received = 0
    const moments: Array<[string, (what: string) => boolean]> = [
      ['as the upload is made', (what) => what.startsWith('POST ')],
      ['as the first byte arrives', (what) => what.startsWith('RECEIVED')],
      ['in the second piece', (what) => Number(/^RECEIVED (\d+)/.exec(what)?.[1] ?? 0) > 20 * MiB],
      ['as the last byte arrives', (what) => what === `RECEIVED ${content.length}`]
    ]
    const ids: string[] = []
    // With leases to wait out, the two that matter most.
    const tried = engine === 'postgres' ? moments.slice(2) : moments
    for (const [name, isIt] of tried) {
      const died = new Promise<void>((resolve) => {
        mux.onMoment = (what) => {
          if (!isIt(what)) return
          mux.onMoment = () => {}
          received++
          void Promise.all([server.end('SIGKILL'), twin?.end('SIGKILL')]).then(() => resolve())
        }
      })
      ids.push(await uploadEncrypted())
      await died
      mux.webhookUrl = undefined
      server = await startServer(t, env)
      if (engine === 'postgres') twin = await startServer(t, env)
      // Every other time the webhooks come, too.
      if (ids.length % 2 === 0) mux.webhookUrl = `${server.origin}/webhooks/mux`
      const id = ids.at(-1)!
      let shown: Record<string, unknown> = {}
      await eventually(
        `${name}: ready`,
        async () => {
          await new Promise((resolve) => setTimeout(resolve, 100))
          shown = (await call(server.origin, `/media/${id}`, { token })).body
          return shown.status !== 'processing'
        },
        LIMIT_MS
      )
      t.equal(shown.status, 'ready', `killed ${name}: ${JSON.stringify(shown.error)}`)
      const assets = [...mux.assets.values()].filter(({ passthrough }) => passthrough === id)
      t.equal(assets.length, 1, `killed ${name}: one asset`)
      t.ok(mux.bytesOf(assets[0]!.upload_id!).equals(content), `killed ${name}: every byte`)
    }
    t.equal(received, tried.length)
    t.equal(mux.assets.size, ids.length)
  }
)
