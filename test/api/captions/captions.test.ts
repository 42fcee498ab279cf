import t from 'tap'
import { MiB } from '../../../src/bytes.js'
import { VTT, putCaptions } from '../../support/captions.js'
import { mintStream, protectedMedia } from '../../support/protected-server.js'
import { buildTestApp, expectProblem, openTestApp, removalsDone } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'

const NO_MEDIA = '019377a4-3f00-7000-8000-000000000000'

t.test('captions of a media', async (t) => {
  const server = await buildTestApp(t)
  const { instructor: owner, student } = await signUpEverybody(server)
  const { headers } = owner
  const newMedia = async () => (await upload(server, owner)).json<{ id: string }>().id
  const id = await newMedia()
  const link = await mintLink(server, id, owner)
  const query = link.slice(link.indexOf('?'))
  const fileUrl = (language: string) => `/media/${id}/captions/${language}.vtt${query}`

  t.test('are stored, replaced, listed, read and deleted', async (t) => {
    const created = await putCaptions(server, id, owner, { path: 'EN-us?kind=subtitles&default=true' })
    t.equal(created.statusCode, 201, created.body)
    t.equal(created.headers.location, `/media/${id}/captions/en-US`)
    t.match(created.json(), {
      language: 'en-US',
      kind: 'subtitles',
      label: 'American English',
      default: true,
      cues: 1,
      url: `/media/${id}/captions/en-US.vtt`
    })
    server.clock.advance(1000)
    const change = { path: 'en-US?label=Mine', text: VTT.replace('Hello', 'Bye') }
    const replaced = await putCaptions(server, id, owner, change)
    t.equal(replaced.statusCode, 200)
    t.match(replaced.json(), { kind: 'captions', label: 'Mine', default: false })
    t.ok(replaced.json<{ updated_at: string }>().updated_at > replaced.json<{ created_at: string }>().created_at)
    const file = await server.inject({ url: fileUrl('en-us') })
    t.match(file.headers, {
      'content-type': 'text/vtt; charset=utf-8',
      'access-control-allow-origin': '*',
      'x-content-type-options': 'nosniff'
    })
    t.equal(file.body, VTT.replace('Hello', 'Bye'))
    const known = { 'if-none-match': file.headers.etag as string }
    t.equal((await server.inject({ url: fileUrl('en-US'), headers: known })).statusCode, 304)
    await putCaptions(server, id, owner, { path: 'de?default=true' })
    await putCaptions(server, id, owner, { path: 'fr?default=true' })
    const list = await server.inject({ url: `/media/${id}/captions`, headers })
    const defaults = list.json<Array<{ language: string; default: boolean }>>()
    t.same(
      defaults.map((track) => [track.language, track.default]),
      [
        ['de', false],
        ['en-US', false],
        ['fr', true]
      ],
      'a media has one default'
    )
    const one = `/media/${id}/captions/fr`
    t.same((await server.inject({ url: one, headers })).json(), defaults[2])
    t.equal((await server.inject({ method: 'DELETE', url: one, headers })).statusCode, 204)
    for (const url of [one, `${one}.vtt`, `/media/${id}/captions/not-a_tag`]) {
      expectProblem(t, await server.inject({ url, headers }), 404, 'not_found')
    }
    expectProblem(t, await server.inject({ method: 'DELETE', url: one, headers }), 404, 'not_found')
  })

  t.test('that are not valid are refused with line and column, and change nothing', async (t) => {
    const bad = await putCaptions(server, id, owner, { path: 'de', text: 'WEBVTT\n\n00:00.000 --> x\na\n' })
    expectProblem(t, bad, 422, 'validation_failed', ['body'])
    t.match(bad.json(), {
      detail: /^Line 3, column 15: /,
      errors: [{ path: 'body', line: 3, column: 15, message: /Timestamp/ }]
    })
    t.equal((await server.inject({ url: fileUrl('de') })).body, VTT)
    const refusals: Array<[Parameters<typeof putCaptions>[3], number, string]> = [
      [{ path: 'english' + 'x'.repeat(9) }, 422, 'validation_failed'],
      [{ path: 'en?kind=chapters' }, 422, 'validation_failed'],
      [{ path: 'en?default=yes' }, 422, 'validation_failed'],
      [{ path: 'en?label=%20' }, 422, 'validation_failed'],
      [{ text: '' }, 422, 'validation_failed'],
      [{ type: 'application/json', text: '{}' }, 415, 'unsupported_content_type'],
      [{ text: Buffer.alloc(10 * MiB + 1, 'a') }, 413, 'payload_too_large']
    ]
    for (const [options, status, code] of refusals) {
      expectProblem(t, await putCaptions(server, id, owner, options), status, code)
    }
    expectProblem(t, await putCaptions(server, NO_MEDIA, owner), 404, 'not_found')
    expectProblem(t, await putCaptions(server, id, student), 404, 'not_found')
  })

  t.test('may be SRT, and are text whatever they contain', async (t) => {
    const naughty = ['<script>alert(1)</script>', '"><img src=x onerror=a()>', '& \u202e\ufeff 表 𠜎', 'drop table x;']
    const cues = naughty.map((line, at) => `${at + 1}\n00:00:0${at},000 --> 00:00:0${at + 1},000\n${line}\n`)
    const text = cues.join('\n')
    const reply = await putCaptions(server, id, owner, { path: 'ja', text, type: 'application/x-subrip' })
    t.match(reply.json(), { cues: 4, language: 'ja' })
    const { body } = await server.inject({ url: fileUrl('ja') })
    t.notMatch(body, /<(?:script|img)/)
    t.match(body, /&lt;script&gt;alert\(1\)&lt;\/script&gt;\n/)
    t.ok(body.includes('𠜎'))
  })

  t.test('are at most 50, also when they come at the same time', async (t) => {
    const other = await newMedia()
    const tags = [...'abcdefghijklmnopqrstuvwxyz'].flatMap((letter) => [`x${letter}a`, `x${letter}b`]).slice(0, 51)
    const replies = await Promise.all(tags.map((path) => putCaptions(server, other, owner, { path })))
    const statuses = replies.map(({ statusCode }) => statusCode)
    for (const [at, status] of statuses.entries()) {
      if (status === 503) statuses[at] = (await putCaptions(server, other, owner, { path: tags[at]! })).statusCode
    }
    t.same(statuses.filter((status) => status !== 201), [409])
    const left = statuses.indexOf(409)
    expectProblem(t, await putCaptions(server, other, owner, { path: tags[left]! }), 409, 'too_many_captions')
    const replacement = { path: tags[(left + 1) % 51]! }
    t.equal((await putCaptions(server, other, owner, replacement)).statusCode, 200, 'a replacement')
  })

  t.test('are deleted with their media', async (t) => {
    const other = await newMedia()
    await putCaptions(server, other, owner)
    await server.inject({ method: 'DELETE', url: `/media/${other}`, headers })
    expectProblem(t, await server.inject({ url: `/media/${other}/captions`, headers }), 404, 'not_found')
    expectProblem(t, await putCaptions(server, other, owner), 404, 'not_found')
    await server.listen()
    await removalsDone(server)
    t.same(await server.query(`select language from captions where media_id = '${other}'`), [])
  })

  t.test('are refused within a second on every process after a revocation, and when the link expires', async (t) => {
    const twin = await openTestApp(t, server.env, server.folder)
    const texts = [`captions/de.vtt${query}`, `player.json${query}`].map((path) => `/media/${id}/${path}`)
    for (const url of texts) t.equal((await twin.inject({ url })).statusCode, 200)
    await server.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers })
    twin.clock.advance(1000)
    for (const url of texts) {
      for (const process of [server, twin]) expectProblem(t, await process.inject({ url }), 403, 'stream_link_revoked')
    }
    const short = await mintLink(server, id, owner, '?expires_in=1')
    const url = `/media/${id}/captions/de.vtt${short.slice(short.indexOf('?'))}`
    t.equal((await server.inject({ url })).statusCode, 200)
    server.clock.advance(2000)
    expectProblem(t, await server.inject({ url }), 403, 'stream_link_expired')
  })
})

t.test('captions of a protected media are renditions of its playlist', async (t) => {
  const server = await buildTestApp(t)
  const { instructor: owner } = await signUpEverybody(server)
  const id = await protectedMedia(server, owner)
  const stream = await mintStream(server, id, owner)
  const get = async (file: string) => (await stream.get(file)).body.toString()
  t.notMatch(await get('master.m3u8'), /SUBTITLES/)
  await putCaptions(server, id, owner, { path: 'pt-BR' })
  const master = await get('master.m3u8')
  t.match(master, /LANGUAGE="pt-BR".*URI="captions-pt-BR\.m3u8"\n#EXT-X-STREAM-INF:.*,SUBTITLES="subs"\n/)
  t.match(await get('captions-pt-BR.m3u8'), /\ncaptions-pt-BR\.vtt\n/)
  t.match(await get('captions-pt-BR.vtt'), /^WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:\d{6,7},LOCAL:00:00:00\.000\n\n00:00\.000/)
  const file = await stream.get('captions-pt-BR.vtt')
  t.match(file.headers, { 'access-control-allow-origin': '*', 'cache-control': 'no-store' })
  t.equal((await stream.get('captions-de.vtt')).status, 404)
  t.equal((await stream.get('captions-de.m3u8')).status, 404)
  const details = JSON.parse(await get('player.json')) as { captions: Array<{ url: string }>; chapters_url: null }
  t.equal(details.captions[0]!.url, `${stream.master.replace('master.m3u8', '')}captions-pt-BR.vtt`)
  t.equal(details.chapters_url, null)
  await server.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: owner.headers })
  for (const name of ['captions-pt-BR.vtt', 'captions-pt-BR.m3u8', 'player.json', 'chapters.vtt']) {
    t.equal((await stream.get(name)).status, 403, name)
  }
})
