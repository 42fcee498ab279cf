import t from 'tap'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { signUpEverybody, upload } from '../../support/client.js'

/** What is right of a file of test/fixtures/cases: its README says what the fields mean. */
interface Case {
  type: 'video' | 'audio'
  seconds?: number | null
  size?: [width: number, height: number]
  aspect?: number
  contentType?: string
  codecs?: string[]
  refused?: number
  code?: string
}
interface MediaReply {
  type: string
  duration_seconds: number
  width: number
  height: number
  content_type: string
  codecs: string[]
}

t.test('files that other media systems described wrongly are described rightly', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const cases = Object.entries(JSON.parse((await fixture('cases/expected.json')).toString()) as Record<string, Case>)
  for (const [name, expected] of cases) {
    await t.test(name, async (t) => {
      const reply = await upload(server, instructor, `cases/${name}`, { type: expected.type })
      if (expected.refused !== undefined) {
        expectProblem(t, reply, expected.refused, expected.code!)
        return
      }
      t.equal(reply.statusCode, 201, reply.body)
      const { type, duration_seconds: seconds, width, height, ...media } = reply.json<MediaReply>()
      t.equal(type, expected.type)
      if (expected.type === 'audio') t.same([width, height], [null, null], 'sound has no size')
      if (expected.size) t.same([width, height], expected.size)
      if (expected.aspect) t.ok(Math.abs(width / height - expected.aspect) < 0.01, `${width}x${height}`)
      if (expected.contentType) t.equal(media.content_type, expected.contentType)
      if (expected.codecs) t.same(media.codecs, expected.codecs)
      if (expected.seconds) t.ok(Math.abs(seconds - expected.seconds) <= 0.15, `${seconds} s is ${expected.seconds} s`)
    })
  }
})

t.test('a file without its end is refused as truncated (bug: half a film was ready)', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const names = ['mp4', 'm4v', 'm4a', 'mov', 'avi', 'mkv', 'webm', 'flac', 'ogg', 'opus'].map((end) => `tiny.${end}`)
  for (const name of names) {
    const content = await fixture(name)
    for (const length of [Math.ceil(content.length / 2), content.length - 1]) {
      const reply = await upload(server, instructor, content.subarray(0, length))
      t.match(reply.json(), { status: 415, code: 'media_truncated' }, `${length} of ${content.length} bytes of ${name}`)
    }
  }
  t.same(await server.storedFiles(), [], 'nothing is left of them')
})

t.test('joined Ogg files have their whole length (bug: that of the first)', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const [vorbis, opus] = [await fixture('tiny.ogg'), await fixture('tiny.opus')]
  for (const [parts, seconds] of [
    [[vorbis, opus], 4],
    // The same number of the stream, twice.
    [[vorbis, vorbis], 4],
    [[opus, opus, vorbis, opus], 8],
    [[vorbis, Buffer.alloc(3000, 'junk'), opus], 4]
  ] as const) {
    const reply = await upload(server, instructor, Buffer.concat(parts), { type: 'audio' })
    t.equal(reply.statusCode, 201, reply.body)
    const found = reply.json<MediaReply>().duration_seconds
    t.ok(Math.abs(found - seconds) < 0.05, `${found} s is ${seconds} s`)
  }
})

t.test('the refusal of a known format names it', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const packet = Buffer.concat([Buffer.from('G'), Buffer.alloc(187)])
  const ogg = await fixture('tiny.ogg')
  const cases: Array<[content: Buffer, detail: RegExp]> = [
    [Buffer.concat([packet, packet, packet]), /MPEG transport stream/],
    [Buffer.from('FORM\0\0\0\0AIFF'), /AIFF/],
    [await fixture('bad.png'), /a picture/],
    [Buffer.from(ogg.toString('latin1').replace('\x01vorbis', '\x80theora'), 'latin1'), /Theora/]
  ]
  for (const [content, detail] of cases) {
    const reply = await upload(server, instructor, content)
    expectProblem(t, reply, 415, 'unsupported_media_format')
    t.match(reply.json<{ detail: string }>().detail, detail)
  }
})
