import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { fixture } from '../../../support/fixtures.js'
import { newToken } from '../../../support/client.js'

t.test(
  'a restart that does not wait for the last process takes nothing of it (bug: on SQLite the new one swept the ' +
    'uploads of the old one)',
  async (t) => {
    const { env, folder } = await testEnvironment(t, { SHUTDOWN_GRACE_SECONDS: '120' })
    const old = await startServer(t, env)
    const drafts = () => readdir(join(folder, 'uploads', 'tmp'))
    const token = await newToken(old.origin, 'owner@example.org')
    const video = await fixture('tiny.mp4')
    const upload = request(`${old.origin}/media/uploads?title=Film&type=video`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-length': video.length }
    })
    const answered = new Promise<{ status: number; body: string }>((resolve, reject) =>
      upload.on('error', reject).on('response', (reply) => {
        let body = ''
        reply
          .setEncoding('utf8')
          .on('data', (text: string) => {
            body += text
          })
          .on('end', () => resolve({ status: reply.statusCode!, body }))
      })
    )
    upload.write(video.subarray(0, 1000))
    await eventually('the upload has begun', async () => (await drafts()).length === 1)
    const ended = old.end('SIGTERM')
    const fresh = await startServer(t, env)
    t.equal((await drafts()).length, 1, 'its draft is there')
    upload.end(video.subarray(1000))
    const { status, body } = await answered
    t.equal(status, 201, body)
    t.equal(await ended, 0)
    const { id } = JSON.parse(body) as { id: string }
    t.equal((await call(fresh.origin, `/media/stream/${id}`, { token })).status, 200)
  }
)
