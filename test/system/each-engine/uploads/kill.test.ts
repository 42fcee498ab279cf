import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Upload } from 'tus-js-client'
import { GiB, MiB } from '../../../../src/bytes.js'
import { figure, sized } from '../../../support/measures.js'
import { call, startServer } from '../../../support/server-process.js'
import { testEnvironment } from '../../../support/test-app.js'
import { newToken } from '../../../support/client.js'
import { freePort } from '../../../support/services.js'
import { writeNoise } from '../../../support/slow-patch.js'

const KILLS = sized(2, 10)
const FILE_BYTES = sized(64 * MiB, GiB)
/** A kill comes at a random moment in this time after the first bytes of a request. */
const KILL_WITHIN_MS = sized(300, 2000)
const MAX_RESENT_BYTES = 64 * MiB

t.test('tus-js-client brings a file through kills of the server', { timeout: 900_000 }, async (t) => {
  const { env, folder } = await testEnvironment(t, { PORT: String(await freePort()) })
  const file = await writeNoise(join(folder, 'noise.wav'), FILE_BYTES)
  let server = await startServer(t, env)
  const { origin } = server
  const token = await newToken(origin, 'ada@example.org')
  let kills = 0
  let restarted = Promise.resolve()
  let sent = 0
  let planned = false
  const resent: number[] = []
  const kill = async () => {
    kills++
    await server.end('SIGKILL')
    server = await startServer(t, env)
  }
  let mediaUrl: string | undefined
  await new Promise<void>((resolve, reject) => {
    const upload = new Upload(createReadStream(join(folder, 'noise.wav')), {
      endpoint: `${origin}/media/uploads`,
      headers: { authorization: `Bearer ${token}` },
      metadata: { title: 'Noise', type: 'audio', filename: 'noise.wav', sha256: file.sha256 },
      retryDelays: Array<number>(200).fill(250),
      onProgress: (bytes) => {
        sent = bytes
        if (planned) return
        planned = true
        setTimeout(() => {
          if (mediaUrl === undefined && kills < KILLS) restarted = restarted.then(kill)
        }, Math.random() * KILL_WITHIN_MS)
      },
      onBeforeRequest: () => {
        planned = false
      },
      onAfterResponse: (request, response) => {
        if (request.getMethod() === 'HEAD') resent.push(sent - Number(response.getHeader('Upload-Offset')))
        mediaUrl = response.getHeader('Media-Location') ?? mediaUrl
      },
      onSuccess: () => resolve(),
      onError: reject
    })
    upload.start()
  })
  await restarted
  const media = await call(origin, mediaUrl!, { token })
  t.match(media.body, { sha256: file.sha256, size_bytes: file.sizeBytes }, 'byte for byte')
  t.equal((await call(origin, '/media', { token })).body.total, 1)
  t.ok(Math.max(0, ...resent) <= MAX_RESENT_BYTES, `sent again: ${resent.join(', ')}`)
  figure(t, `${FILE_BYTES / MiB} MiB, ${kills} kills; bytes sent again: ${resent.join(', ')}`)
})
