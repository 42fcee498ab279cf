import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Static } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import type { RenditionReply } from '../../../../src/media/rendition.js'
import { Ffmpeg } from '../../../../src/protection/hls/ffmpeg.js'
import { make, noFfmpeg, picture, temporaryFolder, tone } from '../../../support/ffmpeg.js'
import { buildTestApp, expectProblem, openTestApp, removalsDone, type TestApp } from '../../../support/test-app.js'
import { mintLink, mintOriginalLink, signUpEverybody, upload, type Person } from '../../../support/client.js'

interface Shown {
  id: string
  sha256: string
  playable_everywhere: boolean | null
  renditions: Array<Static<typeof RenditionReply>>
}

const withFfmpeg = () => ({ ffmpeg: new Ffmpeg(process.env.PATH!) })
const environment = { PATH: process.env.PATH! }

async function makeAvi (t: Test, seconds = 1): Promise<Buffer> {
  const path = join(await temporaryFolder(t), 'source.avi')
  const codecs = ['-c:v', 'mpeg4', '-q:v', '4', '-c:a', 'mp3']
  return await readFile(await make(path, ...picture(seconds), ...tone(seconds), ...codecs))
}

async function shown (server: TestApp, id: string, person: Person): Promise<Shown> {
  return (await server.inject({ url: `/media/${id}`, headers: person.headers })).json<Shown>()
}

interface Wait {
  id: string
  person: Person
  until?: string[]
}

/** Waits until the rendition of a media is ready or failed. */
async function settled (server: TestApp, { id, person, until = ['ready', 'failed'] }: Wait): Promise<Shown> {
  for (let tries = 0; tries < 600; tries++) {
    // The clock of a test stands still, and jobs that wait are due by it.
    server.clock.advance(100)
    const media = await shown(server, id, person)
    if (until.includes(media.renditions[0]?.status ?? '')) return media
    await sleep(50)
  }
  throw new Error(`the rendition of ${id} does not end`)
}

async function uploaded (server: TestApp, person: Person, file: Buffer | string, fields = {}): Promise<Shown> {
  const reply = await upload(server, person, file, fields)
  if (reply.statusCode !== 201) throw new Error(reply.body)
  return reply.json<Shown>()
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

t.test('a media that browsers do not play', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const server = await buildTestApp(t, environment, withFfmpeg())
  const { admin, instructor, student } = await signUpEverybody(server)
  const avi = await makeAvi(t)
  const media = await uploaded(server, instructor, avi, { visibility: 'public' })
  const link = await mintLink(server, media.id, instructor)
  const before = await server.inject({ url: link })

  await t.test('streams its own bytes until its rendition is ready', async (t) => {
    t.match(media, { playable_everywhere: false, renditions: [{ name: 'compatible', status: 'waiting', progress: 0 }] })
    t.equal(before.headers['content-type'], 'video/x-msvideo')
    t.equal(sha256(before.rawPayload), media.sha256)
  })

  await server.listen()
  const { renditions } = await settled(server, { id: media.id, person: instructor })

  await t.test('streams the rendition after that, by the same link', async (t) => {
    t.match(renditions, [{ status: 'ready', progress: 100, width: 128, height: 72, codecs: ['h264', 'aac'] }])
    const after = await server.inject({ url: link })
    t.equal(after.statusCode, 200)
    t.equal(after.headers['content-type'], 'video/mp4')
    t.equal(after.headers['content-disposition'], 'inline; filename="A title.mp4"')
    t.equal(Number(after.headers['content-length']), renditions[0]?.size_bytes)
    t.equal(after.rawPayload.length, renditions[0]?.size_bytes)
    t.not(after.headers.etag, before.headers.etag)
    t.equal(after.rawPayload.subarray(4, 8).toString(), 'ftyp')
  })

  await t.test('never mixes bytes of the original and of the rendition', async (t) => {
    const { etag } = (await server.inject({ method: 'HEAD', url: link })).headers
    const range = async (ifRange: string) =>
      await server.inject({ url: link, headers: { range: 'bytes=5-9', 'if-range': ifRange } })
    const old = await range(String(before.headers.etag))
    t.equal(old.statusCode, 200, 'a player that began with the original gets the whole rendition')
    t.equal(old.headers.etag, etag)
    const current = await range(String(etag))
    t.equal(current.statusCode, 206)
    t.same(current.rawPayload, old.rawPayload.subarray(5, 10))
    const cached = await server.inject({ url: link, headers: { 'if-none-match': String(before.headers.etag) } })
    t.equal(cached.statusCode, 200)
    t.equal((await server.inject({ url: link, headers: { 'if-none-match': String(etag) } })).statusCode, 304)
  })

  await t.test('is listed with its rendition', async (t) => {
    const list = await server.inject({ url: '/media', headers: instructor.headers })
    t.match(list.json<{ items: Shown[] }>().items, [{ id: media.id, renditions: [{ status: 'ready' }] }])
  })

  await t.test('gives the original to its owner and administrators, by a link of its own', async (t) => {
    for (const person of [instructor, admin]) {
      const url = await mintOriginalLink(server, media.id, person)
      const reply = await server.inject({ url })
      t.equal(reply.statusCode, 200)
      t.equal(sha256(reply.rawPayload), media.sha256)
      t.equal(reply.headers['content-type'], 'video/x-msvideo')
      t.equal(reply.headers['content-disposition'], 'attachment; filename="A title.avi"')
      const range = await server.inject({ url, headers: { range: 'bytes=0-3' } })
      t.same([range.statusCode, range.body], [206, 'RIFF'])
    }
    const direct = await server.inject({ url: `/media/${media.id}/original`, headers: instructor.headers })
    t.equal(sha256(direct.rawPayload), media.sha256)
    t.same(await server.query(`select count(*) as n from views where media_id = '${media.id}'`), [{ n: 1 }])
  })

  await t.test('gives the original to nobody else', async (t) => {
    const url = await mintOriginalLink(server, media.id, instructor)
    const query = url.slice(url.indexOf('?'))
    const streamQuery = link.slice(link.indexOf('?'))
    const ask = async (url: string, person?: Person) => await server.inject({ url, headers: person?.headers })
    expectProblem(t, await ask(`/media/${media.id}/original`, student), 403, 'not_owner')
    expectProblem(t, await ask(`/media/${media.id}/original-url`, student), 403, 'not_owner')
    expectProblem(t, await ask(`/media/${media.id}/original`), 401, 'not_authenticated')
    expectProblem(t, await ask(`/media/${media.id}/original${streamQuery}`), 403, 'stream_link_invalid')
    expectProblem(t, await ask(`/media/stream/${media.id}${query}`), 403, 'stream_link_invalid')
    expectProblem(t, await ask(`/media/${media.id}/poster.jpg${query}`), 403, 'stream_link_invalid')
    expectProblem(t, await ask(`${url.slice(0, -1)}${url.endsWith('A') ? 'E' : 'A'}`), 403, 'stream_link_invalid')
    server.clock.advance(700_000)
    expectProblem(t, await ask(url), 403, 'stream_link_expired')
  })

  await t.test('revokes the links to the stream and to the original at once', async (t) => {
    const url = await mintOriginalLink(server, media.id, instructor)
    const link = await mintLink(server, media.id, instructor)
    await server.inject({ method: 'DELETE', url: `/media/${media.id}/stream-url`, headers: instructor.headers })
    expectProblem(t, await server.inject({ url }), 403, 'stream_link_revoked')
    expectProblem(t, await server.inject({ url: link }), 403, 'stream_link_revoked')
  })

  await t.test('counts the bytes of its rendition apart from the quota, and is deleted with it', async (t) => {
    const counters = async () =>
      await server.query(`select name, value from counters where name like '%bytes:${instructor.id}' order by name`)
    const bytes = (await counters()).map(({ name, value }) => [String(name).split(':')[0], Number(value)])
    t.same(bytes, [
      ['bytes', avi.length],
      ['rendition-bytes', renditions[0]?.size_bytes]
    ])
    t.equal((await server.storedFiles()).length, 3, 'the file, its poster and its rendition')
    await server.inject({ method: 'DELETE', url: `/media/${media.id}`, headers: instructor.headers })
    await removalsDone(server)
    t.same(await server.storedFiles(), [])
    t.ok((await counters()).every(({ value }) => Number(value) === 0))
  })
})

t.test('sound that browsers do not play becomes AAC', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const server = await buildTestApp(t, environment, withFfmpeg())
  const { instructor } = await signUpEverybody(server)
  const path = join(await temporaryFolder(t), 'source.m4a')
  await make(path, ...tone(1), '-c:a', 'alac')
  const media = await uploaded(server, instructor, await readFile(path), { type: 'audio' })
  await server.listen()
  const { renditions } = await settled(server, { id: media.id, person: instructor })
  t.match(renditions, [{ status: 'ready', width: null, height: null, codecs: ['aac'] }])
  const stream = await server.inject({ url: await mintLink(server, media.id, instructor) })
  t.equal(stream.headers['content-type'], 'audio/mp4')
  t.match(stream.headers['content-disposition'], /\.m4a"$/)
})

t.test('a media that plays everywhere gets no rendition', { skip: noFfmpeg, timeout: 60_000 }, async (t) => {
  const server = await buildTestApp(t, environment, withFfmpeg())
  const { instructor } = await signUpEverybody(server)
  for (const [file, type] of [['tiny.mp4', 'video'], ['tiny.webm', 'video'], ['tiny.ogg', 'audio']] as const) {
    t.match(await uploaded(server, instructor, file, { type }), { playable_everywhere: true, renditions: [] }, file)
  }
  t.same(await server.query("select id from jobs where kind = 'rendition'"), [])
})

t.test('protection decides whether a media gets a rendition', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const server = await buildTestApp(t, environment, withFfmpeg())
  const { instructor } = await signUpEverybody(server)
  const jobs = async () => await server.query("select id from jobs where kind = 'rendition'")
  const protect = async (id: string, protection: string) =>
    (
      await server.inject({
        method: 'PATCH',
        url: `/media/${id}`,
        headers: instructor.headers,
        payload: { protection }
      })
    ).json<Shown>()
  const avi = await makeAvi(t)
  const media = await uploaded(server, instructor, avi, { protection: 'encrypted' })
  t.match(media, { playable_everywhere: false, renditions: [] }, 'its package is H.264 already')
  t.match(await protect(media.id, 'none'), { renditions: [{ status: 'waiting' }] })
  t.equal((await jobs()).length, 1)
  t.match(await protect(media.id, 'encrypted'), { renditions: [] })
  t.same(await jobs(), [])
  await protect(media.id, 'none')
  await server.listen()
  await settled(server, { id: media.id, person: instructor })
  t.match(await protect(media.id, 'encrypted'), { renditions: [{ status: 'ready' }] }, 'a ready one stays')
})

t.test('without ffmpeg a rendition fails with a code, and is made once ffmpeg is there', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const media = await uploaded(server, instructor, 'tiny.avi')
  await server.listen()
  const { renditions } = await settled(server, { id: media.id, person: instructor })
  t.match(renditions, [{ status: 'failed', error: { code: 'ffmpeg_missing', message: /ffmpeg/ } }])
  const stream = await server.inject({ url: await mintLink(server, media.id, instructor) })
  t.equal(sha256(stream.rawPayload), media.sha256, 'the stream is the file itself')
  if (noFfmpeg !== false) return
  await server.app.close()
  const next = await openTestApp(t, { ...server.env, ...environment }, server.folder, withFfmpeg())
  await next.listen()
  const made = await settled(next, { id: media.id, person: instructor, until: ['ready'] })
  t.match(made.renditions, [{ status: 'ready' }])
})

t.test('TRANSCODE=off makes no rendition; a later start with it makes those that are missing', async (t) => {
  const server = await buildTestApp(t, { ...environment, TRANSCODE: 'off' }, withFfmpeg())
  const { instructor } = await signUpEverybody(server)
  const media = await uploaded(server, instructor, 'tiny.avi')
  t.match(media, { playable_everywhere: false, renditions: [] })
  if (noFfmpeg !== false) return
  await server.app.close()
  const next = await openTestApp(t, { ...server.env, TRANSCODE: 'compatible' }, server.folder, withFfmpeg())
  await next.listen()
  const made = await settled(next, { id: media.id, person: instructor, until: ['ready'] })
  t.match(made.renditions, [{ status: 'ready' }])
})

t.test('missing hardware is no reason to fail: software encodes', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const lines: string[] = []
  const server = await buildTestApp(t, { ...environment, TRANSCODE_HWACCEL: 'nvenc', LOG_LEVEL: 'warn' }, {
    ...withFfmpeg(),
    logger: { level: 'warn', stream: { write: (line: string) => void lines.push(line) } }
  })
  const { instructor } = await signUpEverybody(server)
  const media = await uploaded(server, instructor, 'tiny.avi')
  await server.listen()
  t.match((await settled(server, { id: media.id, person: instructor })).renditions, [{ status: 'ready' }])
  t.match(lines.join(''), 'TRANSCODE_HWACCEL')
})
