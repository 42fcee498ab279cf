import { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { newClass, type Course } from '../../support/courses.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, openTestApp, testEnvironment } from '../../support/test-app.js'
import { done, signUpEverybody, upload } from '../../support/client.js'

interface Media {
  id: string
  tracks: object[]
  updated_at: string
}

const picture = { kind: 'video', codec: 'h264', language: null, channels: null, width: 128, height: 72, default: true }
const sound = { kind: 'audio', codec: 'aac', language: null, channels: 1, width: null, height: null, default: true }

t.test('an upload, a media and a list have the tracks of the file', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const cases: Array<[file: string, type: 'video' | 'audio', tracks: object[]]> = [
    ['tiny.mp4', 'video', [picture, sound]],
    ['tiny.mkv', 'video', [{ ...picture, default: false }, { ...sound, default: false }]],
    ['tiny.avi', 'video', [{ ...picture, codec: 'mpeg4' }, { ...sound, codec: 'mp3' }]],
    ['tiny.mp3', 'audio', [{ ...sound, codec: 'mp3' }]],
    ['tiny.wav', 'audio', [{ ...sound, codec: 'pcm_s16le' }]],
    ['tiny.flac', 'audio', [{ ...sound, codec: 'flac' }]],
    ['tiny.opus', 'audio', [{ ...sound, codec: 'opus' }]],
    // A second sound, AC-3, that is not the default.
    ['cases/aac_ac3.mp4', 'video', [{ width: 160 }, { codec: 'aac', default: true }, { codec: 'ac3', default: false }]],
    // Turned by 90 degrees: what a player shows is as wide as the picture is high.
    ['cases/rot90.mp4', 'video', [{ width: 90, height: 160 }, { codec: 'aac' }]]
  ]
  for (const [file, type, tracks] of cases) {
    const media = (await upload(server, instructor, file, { type })).json<Media>()
    t.match(media.tracks, tracks, file)
    t.equal(media.tracks.length, tracks.length, file)
    t.same((await done<Media>(server, 'GET', `/media/${media.id}`, instructor)).tracks, media.tracks)
    const list = await done<{ items: Media[] }>(server, 'GET', '/media?size=1', instructor)
    t.same(list.items[0]!.tracks, media.tracks)
  }
})

t.test('a job describes the files of older versions, and corrects sizes, durations, codecs and sums', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const server = await openTestApp(t, env, folder)
  const { instructor } = await signUpEverybody(server)
  const { course, lectures } = await newClass(server, instructor, ['tiny.mp4', 'tiny.mp3'])
  const before = await done<Media>(server, 'GET', `/media/${lectures[0]!.asset_id}`, instructor)
  const { duration } = await done<Course>(server, 'GET', `/course/${course.id}`)
  const [gone, cut] = await Promise.all(
    ['tiny.mp4', 'tiny.m4v'].map(async (name) => (await upload(server, instructor, name)).json<Media>())
  )
  await rm(join(folder, 'uploads', 'blobs', await blobOf(gone!.id)))
  await truncate(join(folder, 'uploads', 'blobs', await blobOf(cut!.id)), 9000)
  await server.query("update media set tracks = null, width = 1, height = 1, duration_ms = 10000, codecs = '[\"x\"]'")
  await server.query('update courses set duration_ms = 20000')
  await server.query(`update media set status = 'failed', error_code = 'x' where id = '${before.id}'`)

  await server.listen()
  await eventually('no job is left', async () => {
    const rows = await server.query('select id from media where tracks is null')
    return rows.length === 1 && (await server.query('select id from jobs')).length === 0
  })
  const after = await done<Media>(server, 'GET', `/media/${before.id}`, instructor)
  t.same(after, { ...before, status: 'failed', error: { code: 'x', message: '' } }, 'its status does not change')
  t.equal((await done<Course>(server, 'GET', `/course/${course.id}`)).duration, duration)
  t.match(await done(server, 'GET', `/media/${cut!.id}`, instructor), { tracks: [], width: 1, duration_seconds: 10 })
  t.match(await server.query(`select tracks, width from media where id = '${gone!.id}'`), [{ tracks: null, width: 1 }])

  async function blobOf (id: string): Promise<string> {
    const [row] = await server.query<{ blob_name: string }>(`select blob_name from media where id = '${id}'`)
    return row!.blob_name
  }
})
