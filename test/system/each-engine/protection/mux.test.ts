import t from 'tap'
import { openDatabase } from '../../../../src/database/open.js'
import { newLinkId, signToken } from '../../../../src/playback/link.js'
import { claimJob, deleteJob, insertJob } from '../../../../src/jobs/job-store.js'
import { loadSecrets } from '../../../../src/secrets/keyring.js'
import { readToken } from '../../../support/mux-double.js'
import { expectProblem } from '../../../support/test-app.js'
import { fixture } from '../../../support/fixtures.js'
import { signUp, upload } from '../../../support/client.js'
import {
  addMuxLecture,
  buildMuxApp,
  impatient,
  lecturesOf,
  settledLecture,
  until,
  type MuxServer
} from '../../../support/mux-server.js'

const tokenOf = (url: string) => new URL(url).searchParams.get('token')!
const shown = async ({ inject, instructor }: MuxServer, id: string) =>
  (await inject({ url: `/media/${id}`, headers: instructor.headers })).json<{
    status: string
    progress: number
    error?: object
  }>()

t.test(
  'a lecture goes to Mux in the background, and is ready by webhook; its signed URL is only for subscribers',
  async (t) => {
    const server = await buildMuxApp(t)
    const { mux } = server
    mux.instant = false
    const added = await addMuxLecture(server)
    t.match(added, { status: 'processing', asset_id: null, playback_id: null, url: null, poster_url: null })
    const facts = {
      mediaId: added.media_id,
      expiresAt: Math.floor(server.clock.now / 1000) + 600,
      generation: 1,
      linkId: newLinkId(server.clock.now),
      subject: server.student.id
    }
    const token = signToken(facts, 'hls', loadSecrets(server.config).keyring('link'))
    const own = {
      pathname: `/hls/${token}/${added.media_id}/master.m3u8`
    }
    expectProblem(t, await server.inject({ url: own.pathname }), 409, 'media_not_ready')
    expectProblem(
      t,
      await server.inject({ url: `/media/${added.media_id}/stream-url`, headers: server.student.headers }),
      409,
      'media_not_ready'
    )

    await until(server, 'Mux has the file', () => mux.assets.size === 1)
    await mux.settled()
    const [asset] = [...mux.assets.values()]
    const [uploaded] = [...mux.uploads.values()]
    t.match(asset, { passthrough: added.media_id, playback_ids: [{ policy: 'signed' }], video_quality: 'plus' })
    t.same(mux.bytesOf(uploaded!.upload.id), await fixture('tiny.mp4'), 'byte for byte')
    t.equal((await lecturesOf(server))[0]!.asset_id, asset!.id, 'by the webhook of the upload')
    t.match(await shown(server, added.media_id), { status: 'processing', progress: 50 })

    mux.finish(asset!.id)
    await mux.settled()
    const [lecture] = await lecturesOf(server)
    const playbackId = asset!.playback_ids![0]!.id
    t.match(lecture, {
      status: 'ready',
      asset_id: asset!.id,
      playback_id: playbackId,
      media_id: added.media_id,
      duration: 12.345
    })
    t.equal(
      (await server.inject({ url: `/course/${server.courseId}` })).json<{ duration: number }>().duration,
      12.345,
      'the course follows the length that Mux found'
    )
    t.ok(lecture!.url.startsWith(`https://stream.mux.com/${playbackId}.m3u8?token=`), lecture!.url)
    t.ok(lecture!.poster_url!.startsWith(`https://image.mux.com/${playbackId}/thumbnail.jpg?token=`))
    t.notOk('drm' in lecture!)
    const claims = readToken(tokenOf(lecture!.url), mux.publicKey)
    t.match(claims, { sub: playbackId, aud: 'v', kid: mux.signingKeyId })
    t.equal(
      claims!.exp,
      Math.floor(server.clock.now / 1000) + Math.ceil(1.5 * 12.345) + 600,
      'it lives as long as our links do'
    )
    t.match(readToken(tokenOf(lecture!.poster_url!), mux.publicKey), { sub: playbackId, aud: 't', exp: claims!.exp })
    const another = (await lecturesOf(server))[0]!
    t.equal(
      (await fetch(another.url.replace('https://stream.mux.com', `${mux.origin}/stream`))).status,
      200,
      'it opens the playlist'
    )
    t.equal(
      (await fetch(another.poster_url!.replace(/^.*token=/, `${mux.origin}/stream/${playbackId}.m3u8?token=`))).status,
      403,
      'that of the picture does not'
    )

    const outsider = await signUp(server, 'student')
    for (const url of [
      `/subscribe/my-courses/${server.courseId}/lectures`,
      `/media/${added.media_id}`,
      `/media/${added.media_id}/stream-url`,
      `/media/stream/${added.media_id}`
    ]) {
      for (const headers of [outsider.headers, {}]) {
        const reply = await server.inject({ url, headers })
        t.ok([401, 403, 404].includes(reply.statusCode), `${url} ${reply.statusCode}`)
        t.notMatch(reply.body, /mux\.com|token=|hls\//)
      }
    }
    const stored = JSON.stringify([
      await server.query('select * from media'),
      await server.query('select * from lectures'),
      await server.query('select * from jobs')
    ])
    t.notMatch(stored, /mux\.com|eyJ|signature=/, 'no address and no token is stored')

    // Our own address, given out before it was ready, now leads there, and counts as a view once.
    const sent = await server.inject({ url: own.pathname })
    t.equal(sent.statusCode, 302)
    t.equal(
      readToken(tokenOf(sent.headers.location as string), mux.publicKey)?.exp,
      Number(/\/hls\/(\d+)\./.exec(own.pathname)![1]),
      'and ends when it does'
    )
    t.equal((await server.inject({ url: own.pathname })).statusCode, 302)
    const { total_views: views } = (
      await server.inject({ url: `/media/${added.media_id}/analytics`, headers: server.instructor.headers })
    ).json<{ total_views: number }>()
    t.equal(views, 1)
    await server.inject({
      method: 'DELETE',
      url: `/media/${added.media_id}/stream-url`,
      headers: server.instructor.headers
    })
    expectProblem(t, await server.inject({ url: own.pathname }), 403, 'stream_link_revoked')
    expectProblem(
      t,
      await server.inject({ url: `/media/stream/${added.media_id}`, headers: server.student.headers }),
      403,
      'media_protected'
    )
    await until(
      server,
      'nothing is left to do',
      async () => (await server.query('select id from jobs')).length === 0,
      1000
    )
    t.same(mux.requests.filter((line) => line === 'POST /video/v1/uploads').length, 1)
  }
)

t.test('with every webhook lost, the lecture is ready by asking', async (t) => {
  const server = await buildMuxApp(t)
  server.mux.webhookUrl = undefined
  await addMuxLecture(server)
  const lecture = await settledLecture(server, 1000)
  const [asset] = [...server.mux.assets.values()]
  t.match(lecture, { status: 'ready', asset_id: asset!.id, playback_id: asset!.playback_ids![0]!.id, duration: 12.345 })
  t.equal(server.mux.assets.size, 1)
})

t.test(
  'DRM: the asset is made with the configuration, and those who may watch get licence addresses and their token',
  async (t) => {
    const server = await buildMuxApp(t, { drm: true })
    const { mux } = server
    const { media_id: id } = await addMuxLecture(server)
    const lecture = await settledLecture(server)
    const [asset] = [...mux.assets.values()]
    t.same(
      asset!.playback_ids!.map(({ policy, drm_configuration_id: drm }) => [policy, drm]),
      [['drm', mux.drmConfigurationId]]
    )
    const minted = (
      await server.inject({ url: `/media/${id}/stream-url?expires_in=500`, headers: server.student.headers })
    ).json<{ stream_url: string; expires_in: number; drm: Record<string, string> }>()
    t.equal(minted.expires_in, 500)
    for (const [drm, url] of [
      [lecture.drm!, lecture.url],
      [minted.drm, minted.stream_url]
    ] as const) {
      t.match(readToken(drm.token!, mux.publicKey), {
        sub: lecture.playback_id,
        aud: 'd',
        kid: mux.signingKeyId,
        exp: readToken(tokenOf(url), mux.publicKey)!.exp
      })
      for (const system of ['widevine', 'playready', 'fairplay']) {
        t.equal(drm[system], `https://license.mux.com/license/${system}/${lecture.playback_id}?token=${drm.token}`)
      }
      t.equal(
        drm.fairplay_certificate,
        `https://license.mux.com/appcert/fairplay/${lecture.playback_id}?token=${drm.token}`
      )
    }
    // The request of the player's page, which got only the URL.
    const ask = async (token: string, media = id) =>
      await server.inject({ url: `/embed/${media}/playback?token=${token}` })
    t.match((await ask(tokenOf(minted.stream_url))).json(), { drm: { widevine: /license\.mux\.com/ } })
    for (const token of [
      '',
      'x',
      minted.drm.token!,
      tokenOf(minted.stream_url).slice(0, -2),
      `${tokenOf(minted.stream_url)}A`
    ]) {
      expectProblem(t, await ask(token), 403, 'stream_link_invalid')
    }
    const other = (
      await upload(server, server.instructor, 'tiny.mp3', { type: 'audio', protection: 'encrypted' })
    ).json<{ id: string }>()
    expectProblem(t, await ask(tokenOf(minted.stream_url), other.id), 403, 'stream_link_invalid')
    server.clock.advance(501_000)
    expectProblem(t, await ask(tokenOf(minted.stream_url)), 403, 'stream_link_expired')
  }
)

t.test(
  'an asset that Mux cannot process fails with the sentence of Mux, by webhook and by asking; so does an upload',
  async (t) => {
    for (const lost of [false, true]) {
      const server = await buildMuxApp(t, { muxTimes: impatient })
      const { mux } = server
      mux.instant = false
      if (lost) mux.webhookUrl = undefined
      const { media_id: id } = await addMuxLecture(server)
      // What a slow machine takes for hanging is tried again.
      await until(server, 'Mux has the file', () => mux.assets.size === 1, 1000)
      mux.reject([...mux.assets.keys()][0]!, 'The input file has no usable tracks.')
      t.match(await settledLecture(server, 1000), {
        status: 'failed',
        error: {
          code: 'provider_failed',
          message: 'Mux could not process the file: The input file has no usable tracks.'
        }
      })
      expectProblem(
        t,
        await server.inject({ url: `/media/${id}/stream-url`, headers: server.student.headers }),
        409,
        'media_not_ready'
      )

      mux.faults.push({ request: /^PUT \/upload/, hang: true, times: 100 })
      await upload(server, server.instructor, 'tiny.mp4', { protection: 'encrypted' })
      const puts = mux.requests.filter((line) => line.startsWith('PUT')).length
      await until(
        server,
        'it is being sent',
        () => mux.requests.filter((line) => line.startsWith('PUT')).length > puts,
        1000
      )
      mux.endUpload([...mux.uploads.keys()].at(-1)!, 'errored', 'The file is not a video.')
      const failed = async () =>
        (await server.inject({ url: '/media?size=1', headers: server.instructor.headers })).json<{
          items: Array<{ status: string; error?: object }>
        }>().items[0]!
      await until(server, 'the media has failed', async () => (await failed()).status === 'failed', 1000)
      t.match(await failed(), {
        error: { code: 'provider_failed', message: 'Mux could not read the file: The file is not a video.' }
      })
      t.equal(mux.assets.size, 1)
    }
  }
)

t.test(
  'what goes with a media goes at Mux too: on deletion, and when its protection ends; a deletion that fails is ' +
    'tried again',
  async (t) => {
    const server = await buildMuxApp(t)
    const { mux, instructor } = server
    const lecture = await addMuxLecture(server)
    const { asset_id: assetId } = await settledLecture(server)
    mux.faults.push({ request: /^DELETE/, status: 500, times: 2 }, { request: /^DELETE/, loseAnswer: true })
    t.equal(
      (await server.inject({ method: 'DELETE', url: `/lecture/${lecture.id}`, headers: instructor.headers }))
        .statusCode,
      204,
      'which waits for nothing'
    )
    await until(server, 'the asset is deleted', () => mux.deleted.length === 1, 1000)
    t.same(mux.deleted, [assetId])
    await until(server, 'the job is done', async () => (await server.query('select id from jobs')).length === 0, 1000)
    t.ok(
      mux.requests.filter((line) => line.startsWith('DELETE')).length >= 4,
      'after two errors and an answer that got lost'
    )

    const single = (await upload(server, instructor, 'tiny.mp4', { protection: 'encrypted' })).json<{ id: string }>()
    await until(server, 'it is ready', async () => (await shown(server, single.id)).status === 'ready')
    const patch = async (protection: string) =>
      (
        await server.inject({
          method: 'PATCH',
          url: `/media/${single.id}`,
          headers: instructor.headers,
          payload: { protection }
        })
      ).json<{ status: string }>()
    t.match(await patch('none'), { status: 'ready', protection: 'none' })
    t.match(await patch('encrypted'), { status: 'processing', protection: 'encrypted' })
    await until(server, 'it is ready again', async () => (await shown(server, single.id)).status === 'ready', 1000)
    await until(server, 'the first asset is gone', () => mux.deleted.length === 2, 1000)
    t.equal(mux.assets.size, 1)

    // One that is deleted while its upload waits is cancelled there, and never becomes an asset.
    mux.faults.push({ request: /^PUT \/upload/, hang: true, times: 100 })
    const brief = (await upload(server, instructor, 'tiny.mp4', { protection: 'encrypted' })).json<{ id: string }>()
    await until(
      server,
      'its upload is there',
      async () =>
        (
          await server.query<{ mux_upload_id: string | null }>(
            `select mux_upload_id from media where id = '${brief.id}'`
          )
        )[0]!.mux_upload_id !== null
    )
    t.equal(
      (await server.inject({ method: 'DELETE', url: `/media/${brief.id}`, headers: instructor.headers })).statusCode,
      204
    )
    await until(
      server,
      'the upload is cancelled',
      () => [...mux.uploads.values()].at(-1)!.upload.status === 'cancelled',
      1000
    )
    t.equal(mux.assets.size, 1)
  }
)

t.test('an asset that somebody deletes at Mux: its media says so', async (t) => {
  const server = await buildMuxApp(t)
  const { media_id: id } = await addMuxLecture(server)
  const { asset_id: assetId } = await settledLecture(server)
  const { credentials } = server.mux
  const basic = Buffer.from(`${credentials.id}:${credentials.secret}`).toString('base64')
  await fetch(`${server.mux.origin}/video/v1/assets/${assetId}`, {
    method: 'DELETE',
    headers: { authorization: `Basic ${basic}` }
  })
  await server.mux.settled()
  t.match((await lecturesOf(server))[0], {
    status: 'failed',
    error: { code: 'provider_asset_deleted', message: 'The asset was deleted at Mux.' }
  })
  expectProblem(
    t,
    await server.inject({ url: `/media/${id}/stream-url`, headers: server.student.headers }),
    409,
    'media_not_ready'
  )
})

t.test('a media that is protected while its picture is being taken is not lost to that job', async (t) => {
  const server = await buildMuxApp(t, { muxTimes: { answerMs: 30_000, idleMs: 30_000, lookEveryMs: 3_600_000 } })
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  const { id } = (await upload(server, server.instructor)).json<{ id: string }>()
  await until(server, 'nothing is queued', async () => (await server.query('select id from jobs')).length === 0)
  await db.transaction().execute((trx) => insertJob(trx, 'package', id, server.clock.now))
  const taken = (await claimJob(db, ['package'], server.clock.now, 30_000))!
  await server.inject({
    method: 'PATCH',
    url: `/media/${id}`,
    headers: server.instructor.headers,
    payload: { protection: 'encrypted' }
  })
  await deleteJob(db, taken.id)
  t.match(await claimJob(db, ['mux-ingest'], server.clock.now, 30_000), { mediaId: id }, 'it waits for Mux still')
})
