import t from 'tap'
import { buildTestApp, expectProblem, fixture, signUpEverybody, upload } from '../../support/test-app.js'

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

t.test('a file whose index names samples beyond its end is refused (bug: half a film was ready)', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  // The index of these stands in front of their samples.
  for (const [name, type] of [
    ['tiny.mp4', 'video'],
    ['tiny.m4v', 'video'],
    ['tiny.m4a', 'audio']
  ] as const) {
    const content = await fixture(name)
    for (const length of [content.length / 2, content.length - 1]) {
      const reply = await upload(server, instructor, content.subarray(0, length), { type })
      expectProblem(t, reply, 415, 'media_truncated')
    }
  }
  t.same(await server.storedFiles(), [], 'nothing is left of them')
})
