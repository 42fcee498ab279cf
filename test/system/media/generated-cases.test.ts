import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { make, noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { mediaCases } from '../../support/media-cases.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { signUpEverybody, upload } from '../../support/client.js'

interface MediaReply {
  type: string
  duration_seconds: number
  width: number | null
  height: number | null
  content_type: string
  tracks: object[]
}

t.test('files of phones, recorders and editors are described as ffmpeg made them', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  for (const { name, args, change, expected } of mediaCases) {
    await t.test(name, async (t) => {
      const path = await make(join(folder, name), ...args)
      await change?.(path)
      const reply = await upload(server, instructor, await readFile(path), { type: expected.type })
      if (expected.code !== undefined) {
        expectProblem(t, reply, 415, expected.code)
        if (expected.detail) t.match(reply.json<{ detail: string }>().detail, expected.detail)
        return
      }
      t.equal(reply.statusCode, 201, reply.body)
      const media = reply.json<MediaReply>()
      t.equal(media.type, expected.type)
      const away = Math.abs(media.duration_seconds - expected.seconds!)
      t.ok(away <= 0.15, `${media.duration_seconds} s is ${expected.seconds} s`)
      t.same([media.width, media.height], expected.size ?? [null, null])
      if (expected.contentType) t.equal(media.content_type, expected.contentType)
      if (expected.tracks) t.match(media.tracks, expected.tracks)
      if (expected.tracks) t.equal(media.tracks.length, expected.tracks.length)
    })
  }
})
