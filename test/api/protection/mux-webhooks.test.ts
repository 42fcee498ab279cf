import { randomUUID } from 'node:crypto'
import t from 'tap'
import { engine, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { addMuxLecture, buildMuxApp, lecturesOf, until, type MuxServer } from '../../support/mux-server.js'

interface Held {
  server: MuxServer
  mediaId: string
  post(
    event: { body: string },
    options?: { at?: number; secret?: string; headers?: Record<string, string> }
  ): ReturnType<MuxServer['inject']>
}

/** A lecture whose asset Mux works on, with every webhook held back for the test to send. */
async function held (
  t: Parameters<typeof buildMuxApp>[0]
): Promise<Held & { asset: NonNullable<ReturnType<MuxServer['mux']['assets']['get']>> }> {
  const server = await buildMuxApp(t)
  const { mux } = server
  mux.webhookUrl = undefined
  mux.instant = false
  const { media_id: mediaId } = await addMuxLecture(server)
  await until(server, 'Mux has the file', () => mux.assets.size === 1)
  // Let the step that sent the file come to its end.
  await until(
    server,
    'the job waits',
    async () =>
      Number((await server.query<{ run_after: number }>('select run_after from jobs'))[0]!.run_after) <=
      server.clock.now + 6000
  )
  const post: Held['post'] = async ({ body }, { at, secret, headers } = {}) =>
    await server.inject({
      method: 'POST',
      url: '/webhooks/mux',
      headers: headers ?? mux.sign(body, at ?? Math.floor(server.clock.now / 1000), secret),
      payload: body
    })
  return { server, mediaId, post, asset: [...mux.assets.values()][0]! }
}

const statusOf = async (server: MuxServer) => (await lecturesOf(server))[0]!.status

t.test(
  'a webhook that is tampered with, unsigned, old, or ahead of its time is refused and changes nothing; a good one ' +
    'is taken',
  async (t) => {
    const { server, post, asset } = await held(t)
    const { mux, clock } = server
    const ready = mux.event('video.asset.ready', 'asset', { ...asset, status: 'ready', duration: 20 })
    const seconds = (offset: number) => Math.floor(clock.now / 1000) + offset
    const { 'mux-signature': signature = '' } = mux.sign(ready.body, seconds(0))
    const refused: Array<[string, ReturnType<typeof post>]> = [
      ['tampered', post({ body: ready.body.replace('20', '21') }, { headers: mux.sign(ready.body, seconds(0)) })],
      ['no signature', post(ready, { headers: { 'content-type': 'application/json' } })],
      ['an empty signature', post(ready, { headers: { 'mux-signature': '' } })],
      ['half a signature', post(ready, { headers: { 'mux-signature': signature.slice(0, -1) } })],
      ['no time', post(ready, { headers: { 'mux-signature': signature.replace(/^t=\d+,/, '') } })],
      ['another time', post(ready, { headers: { 'mux-signature': signature.replace(/^t=\d+/, `t=${seconds(1)}`) } })],
      ['two times', post(ready, { headers: { 'mux-signature': `t=${seconds(9)},${signature}` } })],
      ['another secret', post(ready, { secret: 'another' })],
      ['10 minutes old', post(ready, { at: seconds(-600) })],
      ['10 minutes ahead', post(ready, { at: seconds(600) })],
      ['301 seconds old', post(ready, { at: seconds(-302) })],
      ['301 seconds ahead', post(ready, { at: seconds(302) })],
      ['no body', server.inject({ method: 'POST', url: '/webhooks/mux' })]
    ]
    for (const [what, reply] of refused) {
      expectProblem(t, await reply, 403, 'webhook_signature_invalid')
      t.equal(await statusOf(server), 'processing', what)
    }
    for (const [at, body] of [
      [seconds(-298), '{"id":"a","type":"video.new.thing","data":{}}'],
      [seconds(298), '{"id":"b","type":"video.asset.track.ready","data":{}}']
    ] as const) {
      t.match((await post({ body }, { at })).json(), { outcome: 'ignored' }, 'unknown events are fine')
    }
    t.match(
      (
        await post(ready, {
          headers: { 'mux-signature': `${signature},v1=${'0'.repeat(64)},v2=x`, 'content-type': 'text/plain' }
        })
      ).json(),
      { outcome: 'accepted' },
      'one good signature is enough, whatever the body calls itself'
    )
    t.match((await lecturesOf(server))[0], { status: 'ready', duration: 20 })
    for (const [body, status, code] of [
      ['{', 400, 'malformed_json'],
      ['null', 400, 'bad_request'],
      ['{"id":1,"type":"x","data":{}}', 400, 'bad_request']
    ] as const) {
      expectProblem(t, await post({ body }), status, code)
    }
    t.equal(
      (
        await server.inject({
          method: 'POST',
          url: '/api/v1/webhooks/mux/',
          headers: mux.sign('{"id":"c","type":"x","data":{}}', seconds(0)),
          payload: '{"id":"c","type":"x","data":{}}'
        })
      ).statusCode,
      200
    )
  }
)

t.test('an event that comes twice, at once, or to another process counts once', async (t) => {
  const { server, post, asset } = await held(t)
  const { mux } = server
  // Two servers of one test share a thread, and the one would wait in it for the other's lock on a SQLite file.
  const twin =
    engine === 'sqlite'
      ? server
      : await openTestApp(t, server.env, server.folder, { clock: { now: () => server.clock.now } })
  const ready = mux.event('video.asset.ready', 'asset', { ...asset, status: 'ready', duration: 20 })
  const toTwin = () =>
    twin.inject({ method: 'POST', url: '/webhooks/mux', headers: mux.sign(ready.body), payload: ready.body })
  const replies = await Promise.all([post(ready), post(ready), toTwin(), toTwin(), post(ready)])
  t.same(
    replies.map(({ statusCode }) => statusCode),
    [200, 200, 200, 200, 200]
  )
  t.same(replies.map((reply) => reply.json<{ outcome: string }>().outcome).sort(), [
    'accepted',
    'duplicate',
    'duplicate',
    'duplicate',
    'duplicate'
  ])
  t.match((await lecturesOf(server))[0], { status: 'ready', duration: 20 })
  t.equal(
    (await server.inject({ url: `/course/${server.courseId}` })).json<{ duration: number }>().duration,
    20,
    'and so does its length'
  )
  t.match((await toTwin()).json(), { outcome: 'duplicate' })
  t.equal((await server.query('select id from mux_events')).length, 1)
})

t.test('in whatever order they come, the end is the same', async (t) => {
  const { server, post, asset } = await held(t)
  const { mux } = server
  const { upload } = [...mux.uploads.values()][0]!
  const done = { ...asset, status: 'ready' as const, duration: 20 }
  // Ready before its creation, the upload last of all; then what contradicts it, late.
  const events = [
    ['video.asset.ready', 'asset', done],
    ['video.asset.created', 'asset', asset],
    ['video.asset.updated', 'asset', asset],
    ['video.upload.asset_created', 'upload', upload],
    [
      'video.asset.errored',
      'asset',
      { ...asset, status: 'errored', errors: { type: 'invalid_input', messages: ['Late.'] } }
    ],
    ['video.upload.errored', 'upload', { ...upload, status: 'errored', error: { message: 'Late.' } }]
  ] as const
  for (const [type, kind, data] of events) {
    t.equal((await post(mux.event(type, kind, data as typeof asset))).statusCode, 200, type)
    t.match(
      (await lecturesOf(server))[0],
      { status: 'ready', asset_id: asset.id, playback_id: asset.playback_ids![0]!.id, duration: 20 },
      type
    )
  }
  // Deleted at Mux; and news that it is ready, which were overtaken.
  t.match((await post(mux.event('video.asset.deleted', 'asset', asset))).json(), { outcome: 'accepted' })
  t.match((await post(mux.event('video.asset.ready', 'asset', done))).json(), { outcome: 'accepted' })
  t.match((await lecturesOf(server))[0], { status: 'failed', error: { code: 'provider_asset_deleted' } })
})

t.test(
  "assets that are nobody's, or another upload's, change nothing; neither does a server without an account of Mux",
  async (t) => {
    const { server, mediaId, post, asset } = await held(t)
    const { mux } = server
    const done = { ...asset, status: 'ready' as const, duration: 20 }
    for (const stranger of [
      { ...done, upload_id: randomUUID() },
      { ...done, upload_id: undefined, passthrough: mediaId },
      { ...done, upload_id: undefined, passthrough: 'x' }
    ]) {
      t.match((await post(mux.event('video.asset.ready', 'asset', stranger as typeof asset))).json(), {
        outcome: 'ignored'
      })
      t.match((await post(mux.event('video.asset.deleted', 'asset', stranger as typeof asset))).json(), {
        outcome: 'ignored'
      })
    }
    t.equal(await statusOf(server), 'processing')
    const ready = mux.event('video.asset.ready', 'asset', done)
    t.match((await post(ready)).json(), { outcome: 'accepted' })
    await server.app.close()

    // Change back: what was made at Mux is still played there while its account is known, and said to be missing while
    // not.
    const asked = async (app: TestApp) =>
      (await app.inject({ url: `/media/${mediaId}/stream-url`, headers: server.student.headers })).json<{
        stream_url: string
      }>().stream_url
    const back = await openTestApp(t, { ...server.env, VIDEO_PROVIDER: 'local' }, server.folder)
    t.ok((await asked(back)).startsWith('https://stream.mux.com/'))
    await back.app.close()
    const { VIDEO_PROVIDER: _, ...rest } = server.env
    const home = await openTestApp(
      t,
      Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('MUX_'))),
      server.folder
    )
    expectProblem(
      t,
      await home.inject({ method: 'POST', url: '/webhooks/mux', headers: mux.sign(ready.body), payload: ready.body }),
      404,
      'route_not_found'
    )
    expectProblem(t, await home.inject({ url: new URL(await asked(home)).pathname }), 503, 'video_provider_missing')
  }
)
