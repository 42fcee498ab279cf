import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Fault } from '../../../support/mux-double.js'
import { fixture } from '../../../support/fixtures.js'
import {
  addMuxLecture,
  buildMuxApp,
  impatient,
  lecturesOf,
  settledLecture,
  until,
  type MuxServer
} from '../../../support/mux-server.js'

const MiB = 1024 * 1024
const CREATE = /^POST \/video\/v1\/uploads/
const PUT = /^PUT \/upload\//

/** A video with this many bytes behind it that no player minds: a box named `free` (ISO/IEC 14496-12, 8.1.2). */
async function padded (bytes: number): Promise<Buffer> {
  const box = Buffer.alloc(bytes)
  box.writeUInt32BE(bytes, 0)
  box.write('free', 4)
  for (let i = 8; i < bytes; i += 4099) box[i] = i % 251
  return Buffer.concat([await fixture('tiny.mp4'), box])
}

async function readyOnce (
  t: Parameters<typeof buildMuxApp>[0],
  server: MuxServer,
  content?: Buffer,
  stepMs = 5000
): Promise<void> {
  const lecture = await settledLecture(server, stepMs)
  t.match(lecture, { status: 'ready' }, JSON.stringify(lecture.error))
  t.equal(server.mux.assets.size, 1, 'one asset')
  const { upload_id: uploadId, id } = [...server.mux.assets.values()][0]!
  t.equal(lecture.asset_id, id)
  t.same(server.mux.bytesOf(uploadId!), content ?? (await fixture('tiny.mp4')), 'and nothing is lost')
}

const troubles: Array<[string, Fault[]]> = [
  [
    '500 for the upload, then for its bytes',
    [
      { request: CREATE, status: 500 },
      { request: PUT, status: 503 }
    ]
  ],
  ['an answer to the making of the upload that gets lost', [{ request: CREATE, loseAnswer: true }]],
  ['an answer to the last byte that gets lost', [{ request: PUT, loseAnswer: true }]],
  [
    'hanging, first for the upload, then for the bytes',
    [
      { request: CREATE, hang: true },
      { request: PUT, hang: true }
    ]
  ],
  [
    'cuts in the middle of the bytes',
    [
      { request: PUT, cutAfterBytes: 5000 },
      { request: PUT, cutAfterBytes: 1 }
    ]
  ],
  ['500 where the asset is asked for', [{ request: /^GET/, status: 500, times: 3 }]],
  ['an upload that takes nothing any more', [{ request: PUT, status: 404 }]]
]

for (const [what, faults] of troubles) {
  t.test(`after ${what}, the lecture is ready`, async (t) => {
    const server = await buildMuxApp(t, faults.some(({ hang }) => hang) ? { muxTimes: impatient } : {})
    server.mux.faults.push(...faults)
    if (faults[0]!.request.test('GET')) server.mux.webhookUrl = undefined
    await addMuxLecture(server)
    await readyOnce(t, server)
    t.ok(
      faults.every(({ times }) => times === 0),
      'all of it happened'
    )
  })
}

t.test('a large file is sent in pieces, and goes on where a cut left it', async (t) => {
  const server = await buildMuxApp(t)
  const content = await padded(40 * MiB)
  server.mux.faults.push({ request: PUT, cutAfterBytes: 10 * MiB })
  await addMuxLecture(server, content)
  await until(
    server,
    'the cut was noted',
    async () => (await server.query('select id from jobs where failures = 1')).length === 1
  )
  server.clock.advance(5000)
  // Standing still from here: in a time that flies, the lease of a piece ends while it is sent.
  await readyOnce(t, server, content, 0)
  t.equal(
    server.mux.requests.filter((line) => PUT.test(line)).length,
    4,
    'a piece that is cut, the question what there is, and the rest in two'
  )
})

t.test('Mux is down, and back: the upload that waited for it is answered at once, and the lecture ready', async (t) => {
  const server = await buildMuxApp(t)
  await server.mux.stop()
  const start = performance.now()
  t.match(await addMuxLecture(server), { status: 'processing' })
  t.ok(performance.now() - start < 5000)
  await until(
    server,
    'it was tried',
    async () => (await server.query('select id from jobs where failures >= 2')).length === 1,
    1000
  )
  await server.mux.start()
  await readyOnce(t, server)
})

t.test('no request of a client waits for Mux, however slow it is', async (t) => {
  const server = await buildMuxApp(t)
  const { mux } = server
  mux.delayMs = 3000
  const lecture = await addMuxLecture(server)
  await until(server, 'Mux was asked', () => mux.requests.length > 0)
  for (const [method, url] of [
    ['GET', `/course/${server.courseId}/lectures`],
    ['GET', `/media/${lecture.media_id}`],
    ['DELETE', `/lecture/${lecture.id}`]
  ] as const) {
    const start = performance.now()
    t.ok((await server.inject({ method, url, headers: server.instructor.headers })).statusCode < 300)
    t.ok(performance.now() - start < 2000, `${method} ${url}`)
  }
})

t.test('429 with Retry-After is waited for, as long as it says', async (t) => {
  const server = await buildMuxApp(t)
  server.mux.faults.push({ request: CREATE, status: 429, headers: { 'retry-after': '90' } })
  await addMuxLecture(server)
  const asked = () => server.mux.requests.filter((line) => CREATE.test(line)).length
  await until(
    server,
    'Mux has asked to wait',
    async () => (await server.query('select id from jobs where failures = 1')).length === 1
  )
  server.clock.advance(85_000)
  await sleep(300)
  t.equal(asked(), 1)
  server.clock.advance(10_000)
  await readyOnce(t, server)
  t.equal(asked(), 2)
})

t.test('401 for good: after a day the lecture has failed, with a sentence', async (t) => {
  const server = await buildMuxApp(t)
  server.mux.faults.push({ request: /video/, status: 401, messages: ['Unauthorized request'], times: Infinity })
  await addMuxLecture(server)
  await until(
    server,
    'it was tried',
    async () => (await server.query('select id from jobs where failures >= 4')).length === 1,
    60_000
  )
  t.match((await lecturesOf(server))[0], { status: 'processing' })
  server.clock.advance(86_400_000)
  t.match(await settledLecture(server, 60_000), {
    status: 'failed',
    error: {
      code: 'provider_unavailable',
      message:
        /^The file could not be sent to Mux within a day\. Mux does not accept this server's credentials \(401\): Unauthorized request\. An administrator/
    }
  })
  t.same(await server.query('select id from jobs'), [])
})

t.test('what Mux refuses for good fails at once, with the words of Mux', async (t) => {
  const server = await buildMuxApp(t, { drm: true })
  server.mux.faults.push({ request: CREATE, status: 400, messages: ['DRM is not enabled for this environment'] })
  await addMuxLecture(server)
  t.match(await settledLecture(server), {
    status: 'failed',
    error: {
      code: 'provider_refused',
      message: 'Mux refused the media (400): DRM is not enabled for this environment.'
    }
  })
})

t.test('an upload that timed out at Mux is begun again, and one asset comes of it', async (t) => {
  const server = await buildMuxApp(t, { muxTimes: impatient })
  const { mux } = server
  mux.faults.push({ request: PUT, hang: true })
  await addMuxLecture(server)
  await until(server, 'it hangs', () => mux.requests.some((line) => PUT.test(line)), 1000)
  mux.endUpload([...mux.uploads.keys()].at(-1)!, 'timed_out')
  await readyOnce(t, server)
  t.ok(mux.uploads.size >= 2)
})

t.test('a media that Mux never finishes has failed after a day', async (t) => {
  const server = await buildMuxApp(t)
  server.mux.instant = false
  await addMuxLecture(server)
  await until(server, 'Mux has the file', () => server.mux.assets.size === 1)
  server.clock.advance(86_400_000)
  t.match(await settledLecture(server, 60_000), {
    status: 'failed',
    error: { code: 'provider_unavailable', message: /Mux has not finished within a day\.$/ }
  })
})

t.test('no secret is logged: no token, no key, no address that can be written to', async (t) => {
  const lines: string[] = []
  const server = await buildMuxApp(t, {
    muxTimes: impatient,
    logger: {
      level: 'trace',
      stream: {
        write: (line: string) => {
          lines.push(line)
        }
      }
    }
  })
  const { mux } = server
  mux.faults.push(
    { request: CREATE, status: 401, messages: ['Unauthorized request'] },
    { request: CREATE, hang: true },
    { request: PUT, status: 500 },
    { request: PUT, cutAfterBytes: 100 },
    { request: /^GET/, status: 500 }
  )
  await addMuxLecture(server)
  await readyOnce(t, server)
  const { url, media_id: id } = (await lecturesOf(server))[0]!
  const token = new URL(url).searchParams.get('token')!
  await server.inject({ url: `/embed/${id}/playback?token=${token}` })
  const log = lines.join('')
  t.match(log, /Mux request failed/)
  t.match(log, /credentials \(401\)/)
  for (const secret of [
    mux.credentials.id,
    mux.credentials.secret,
    mux.webhookSecret,
    'signature=',
    '/upload/',
    'Basic ',
    token,
    token.split('.')[2]!
  ]) {
    t.notOk(log.includes(secret), secret.slice(0, 12))
  }
})
