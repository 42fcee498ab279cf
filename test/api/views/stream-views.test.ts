import { randomUUID } from 'node:crypto'
import t from 'tap'
import { openDatabase } from '../../../src/database/open.js'
import { loadSecrets } from '../../../src/secrets/keyring.js'
import { eraseViewer } from '../../../src/views/viewer-erasure.js'
import { openViewerIds } from '../../../src/views/viewer-id-store.js'
import { pruneTokenViews } from '../../../src/views/view-maintenance.js'
import { insertViews } from '../../../src/views/view-store.js'
import { protectedMedia } from '../../support/protected-server.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp, openTestApp, type TestApp } from '../../support/test-app.js'
import { mintLink, signUp, upload, type Person } from '../../support/client.js'

const MINUTE = 60_000
const longLived = { ACCESS_TOKEN_EXPIRE_MINUTES: '1000000' }

const totalViews = async ({ query }: TestApp, id: string): Promise<number> =>
  Number(
    (await query<{ total_views: number }>(`select total_views from view_totals where media_id = '${id}'`))[0]!
      .total_views
  )
/** A stream waits at most half a second for its view. */
const counted = async (server: TestApp, id: string, views: number, what = '') =>
  await eventually(`${views} views: ${what}`, async () => (await totalViews(server, id)) === views)
const publish = async (server: TestApp, person: Person) =>
  (await upload(server, person, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>().id
const watch = (server: TestApp, id: string, person?: Person, remoteAddress = '192.0.2.1') =>
  server.inject({ url: `/media/stream/${id}`, headers: person?.headers, remoteAddress })

t.test(
  'a stream by a token counts once in 30 minutes for each account, address and media, on every process',
  async (t) => {
    const one = await buildTestApp(t, longLived)
    const two = await openTestApp(t, one.env, one.folder)
    const start = one.clock.now
    const at = (moment: number) => {
      one.clock.now = two.clock.now = start + moment
    }
    const [owner, other] = [await signUp(one), await signUp(one)]
    const id = await publish(one, owner)
    at(0)
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, index) => watch(index % 2 === 0 ? one : two, id, owner))
    )
    t.same(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200]))
    await counted(one, id, 1, 'bug: each of the 100 was counted')
    await watch(one, id, owner, '192.0.2.2')
    await watch(one, id, other)
    await counted(one, id, 3, 'another address and another account')
    for (const server of [one, two]) {
      at(30 * MINUTE - 1)
      await watch(server, id, owner)
      await counted(one, id, 3, 'a millisecond before the 30 minutes end')
    }
    at(30 * MINUTE)
    await Promise.all([one, two, one, two].map((server) => watch(server, id, owner)))
    await counted(one, id, 4)
    at(-10 * 365 * 24 * 60 * MINUTE)
    await watch(two, id, owner)
    await counted(one, id, 5, 'a moment from the future refuses nothing')
  }
)

t.test(
  'views of streams pass the view window of their address; a refused one is sent, and is not counted',
  async (t) => {
    const server = await buildTestApp(t, { ...longLived, RATE_LIMIT_VIEW_PER_MINUTE: '10' })
    const owner = await signUp(server)
    const id = await publish(server, owner)
    const links = await Promise.all(Array.from({ length: 60 }, () => mintLink(server, id)))
    const open = async (url: string) => (await server.inject({ url, remoteAddress: '192.0.2.1' })).statusCode
    t.same(new Set(await Promise.all(links.map(open))), new Set([200]))
    await counted(server, id, 10, 'bug: each of the 60 links was counted')
    const post = () => server.inject({ method: 'POST', url: `/media/${id}/view`, remoteAddress: '192.0.2.1' })
    t.match((await post()).json(), { code: 'rate_limit_exceeded' }, 'refused streams lead to no block')
    t.equal((await server.inject({ url: links[0], remoteAddress: '192.0.2.2' })).statusCode, 200)
    await counted(server, id, 11, 'another address has a window of its own')
    server.clock.advance(MINUTE)
    const link = await mintLink(server, id)
    for (let index = 0; index < 20; index++) t.equal(await open(link), 200)
    await counted(server, id, 12)
    t.equal((await post()).statusCode, 200, 'a stream that was counted takes no place in the window')
  }
)

t.test(
  'views of protected streams pass the view window of their address; a refused one is sent, and is not counted',
  async (t) => {
    const server = await buildTestApp(t, { RATE_LIMIT_VIEW_PER_MINUTE: '10' })
    const id = await protectedMedia(server, await signUp(server), 'tiny.mp4', { visibility: 'public' })
    const playlists = await Promise.all(Array.from({ length: 30 }, () => mintLink(server, id)))
    const open = async (playlist: string, remoteAddress = '192.0.2.1') => {
      const replies = await Promise.all(
        ['master.m3u8', 'media.m3u8', 'content.key', 'segment-0.ts', 'segment-0.ts'].map((file) =>
          server.inject({ url: playlist.replace('master.m3u8', file), remoteAddress })
        )
      )
      return new Set(replies.map(({ statusCode }) => statusCode))
    }
    for (const statuses of await Promise.all(playlists.map((playlist) => open(playlist)))) {
      t.same(statuses, new Set([200]))
    }
    await counted(server, id, 10, 'each playlist was opened, ten were counted')
    const post = () => server.inject({ method: 'POST', url: `/media/${id}/view`, remoteAddress: '192.0.2.1' })
    t.match((await post()).json(), { code: 'rate_limit_exceeded' }, 'refused streams lead to no block')
    t.same(await open(playlists[0]!, '192.0.2.2'), new Set([200]))
    await counted(server, id, 11, 'another address has a window of its own')
    server.clock.advance(MINUTE)
    const last = await mintLink(server, id)
    for (let index = 0; index < 20; index++) t.same(await open(last), new Set([200]))
    await counted(server, id, 12)
    t.equal((await post()).statusCode, 200, 'a stream that was counted takes no place in the window')
  }
)

t.test(
  'what keeps a view by a token from being counted is removed after 30 minutes, and with its viewer',
  async (t) => {
    const server = await buildTestApp(t, longLived)
    const owner = await signUp(server)
    const id = await publish(server, owner)
    const db = openDatabase(server.config.database)
    t.teardown(() => db.destroy())
    const view = (address: string, viewedAt: number) => ({
      mediaId: id,
      linkId: null,
      address,
      addressKey: address,
      accountId: owner.id,
      userAgent: null,
      viewedAt,
      byToken: true
    })
    const now = server.clock.now
    const batch = [
      view('192.0.2.1', now),
      view('192.0.2.1', now + 1),
      view('192.0.2.2', now - 30 * MINUTE),
      view('192.0.2.3', now + 30 * MINUTE)
    ]
    t.same(await insertViews(db, [...batch, { ...view('192.0.2.4', now), mediaId: randomUUID() }]), [
      'counted',
      'repeated',
      'counted',
      'counted',
      'gone'
    ])
    const addresses = async () =>
      (await db.selectFrom('token_views').select('address_key').orderBy('address_key').execute()).map(
        (row) => row.address_key
      )
    await pruneTokenViews(db, now, new AbortController().signal)
    t.same(await addresses(), ['192.0.2.1'])
    await insertViews(db, [view('192.0.2.5', now)])
    await eraseViewer(db, ['192.0.2.1'])
    t.same(await addresses(), ['192.0.2.5'])
    await openViewerIds({ db, mode: 'truncated', keys: () => loadSecrets(server.config).keyring('viewer-address') })
    t.same(await addresses(), [], 'no address outlives a stricter mode')
  }
)
