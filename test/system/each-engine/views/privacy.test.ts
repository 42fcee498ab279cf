import t, { type Test } from 'tap'
import { openDatabase } from '../../../../src/database/open.js'
import { pruneViews, recountViews } from '../../../../src/views/view-maintenance.js'
import { ViewerIds } from '../../../../src/views/viewer-ids.js'
import { playgate } from '../../../support/playgate.js'
import { buildTestApp, engine, openTestApp, testEnvironment, type TestApp } from '../../../support/test-app.js'
import { eventually } from '../../../support/server-process.js'
import { mintLink, signUp, upload, type Person } from '../../../support/client.js'

const DAY = 86_400_000
/** Four viewers: two of one /24, two of one /48, and one /64 that comes under two addresses. */
const addresses = ['203.0.113.7', '203.0.113.8', '2001:db8:5:1::1', '2001:db8:5:2::1', '2001:db8:5:2:ffff::9']
const longLived = { ACCESS_TOKEN_EXPIRE_MINUTES: '1000000' }

interface Watched {
  server: TestApp
  owner: Person
  id: string
}

async function setUp (t: Test, env: Record<string, string> = {}, maintenanceIntervalMs?: number): Promise<Watched> {
  const server = await buildTestApp(t, { ...longLived, ...env }, { maintenanceIntervalMs })
  const owner = await signUp(server)
  const { id } = (await upload(server, owner, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>()
  return { server, owner, id }
}

const view = async ({ server, id }: Watched, remoteAddress: string, query = '') =>
  await server.inject({
    method: 'POST',
    url: `/media/${id}/view${query}`,
    remoteAddress,
    headers: { 'user-agent': `player of ${remoteAddress}` }
  })
const figures = async ({ server, owner, id }: Watched) => {
  const { total_views: total, unique_viewers: unique } = (
    await server.inject({ url: `/media/${id}/analytics`, headers: owner.headers })
  ).json<{ total_views: number; unique_viewers: number }>()
  return [total, unique]
}
const shown = async ({ server, owner, id }: Watched, query = '?size=100') => {
  const { items, total } = (await server.inject({ url: `/media/${id}/views${query}`, headers: owner.headers })).json<{
    items: Array<{ viewed_by_ip: string }>
    total: number
  }>()
  return { total, addresses: items.map((item) => item.viewed_by_ip).reverse() }
}
const differences = async ({ server }: Watched) => {
  const db = openDatabase(server.config.database)
  try {
    return await recountViews(db, { dryRun: true })
  } finally {
    await db.destroy()
  }
}
/** Everything the database says of viewers. */
const written = async ({ server }: Watched) =>
  JSON.stringify(
    await Promise.all(['views', 'view_viewers', 'server_facts'].map((table) => server.query(`select * from ${table}`))),
    (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  )
/** The same database under another environment, as after a restart. */
async function restarted (t: Test, watched: Watched, env: Record<string, string>): Promise<Watched> {
  await watched.server.app.close()
  return { ...watched, server: await openTestApp(t, { ...watched.server.env, ...env }, watched.server.folder) }
}

t.test(
  'every mode counts the same, shows what it says, and but for full keeps no address; erase-viewer forgets who it ' +
    'was, and counts stay',
  async (t) => {
    const modes = {
      full: addresses,
      truncated: ['203.0.113.0/24', '203.0.113.0/24', '2001:db8:5::/48', '2001:db8:5::/48', '2001:db8:5::/48'],
      hashed: addresses.map(() => /^viewer-[\w-]{10}$/)
    }
    const { env } = await testEnvironment(t)
    for (const [mode, expected] of Object.entries(modes)) {
      const watched = await setUp(t, { VIEW_ADDRESSES: mode })
      for (const address of addresses) {
        t.match((await view(watched, address)).json(), { viewer_ip: address }, 'a viewer sees their own')
      }
      const link = await mintLink(watched.server, watched.id, watched.owner)
      for (let times = 0; times < 3; times++) await view(watched, addresses[0]!, link.slice(link.indexOf('?')))
      t.same(await figures(watched), [6, 4], mode)
      const { addresses: log } = await shown(watched)
      t.match(log, [...expected, expected[0]], mode)
      if (mode === 'hashed') t.equal(new Set(log).size, 4, 'viewers can be told apart')
      const all = await written(watched)
      const leak = /"(203\.0\.113\.\d+|2001:db8:5:[12][^"]*)"/
      if (mode === 'full') t.match(all, leak)
      else t.notMatch(all, leak, mode)
      t.same(await differences(watched), [])

      const erase = await playgate(watched.server.env, [
        'erase-viewer',
        mode === 'full' ? addresses[0]! : '2001:db8:5:2::77',
        '--json'
      ])
      t.same([erase.code, erase.json()], [0, { media: 1, rows: 2 }], `${mode}: an address, or all of its /64`)
      t.same(
        (await shown(watched)).addresses.map((address) => address === 'erased'),
        mode === 'full' ? [true, false, false, false, false, true] : [false, false, false, true, true, false]
      )
      t.notMatch(
        await written(watched),
        mode === 'full' ? '203.0.113.7' : '2001:db8:5:2',
        'neither as an address nor as a user agent'
      )
      t.same([await figures(watched), await differences(watched)], [[6, 4], []])
      await view(watched, mode === 'full' ? addresses[0]! : addresses[4]!)
      t.same(await figures(watched), [7, 5], 'who comes back is new')
    }
    // An environment of its own: without one, a database would be made in the current folder.
    for (const args of [[], ['203.0.113.0/24']]) {
      t.match(
        await playgate(env, ['erase-viewer', ...args]),
        { code: 2, err: /^playgate: erase-viewer needs one/ },
        args.join()
      )
    }
  }
)

t.test('a change of mode rewrites what is there, and no change counts anyone twice', async (t) => {
  let watched = await setUp(t)
  for (const address of addresses) await view(watched, address)
  const link = await mintLink(watched.server, watched.id, watched.owner)
  const byLink = () => view(watched, addresses[1]!, link.slice(link.indexOf('?')))
  await byLink()
  // More than one batch of the rewriting.
  const many = Array.from({ length: 2500 }, (_, index) => ({
    address: `10.0.${Math.floor(index / 2 / 250)}.${Math.floor(index / 2) % 250}`,
    at: watched.server.clock.now
  }))
  await watched.server.query(
    'insert into views (media_id, address, address_key, viewed_at) values ' +
      `${many.map(({ address, at }) => `('${watched.id}', '${address}', '${address}', ${at})`).join()}`
  )
  await watched.server.query(
    'insert into view_viewers (media_id, address_key) select distinct media_id, address_key from views ' +
      `${engine === 'sqlite' ? 'where true ' : ''}on conflict do nothing`
  )
  await watched.server.query('update view_days set views = views + 2500')
  await watched.server.query(
    'update view_totals set total_views = total_views + 2500, unique_viewers = unique_viewers + 1250'
  )
  let total = 2506
  const checks: Array<[mode: string, first: string | RegExp]> = [
    ['truncated', '203.0.113.0/24'],
    ['full', '203.0.113.0/24'],
    ['hashed', /^viewer-/],
    ['full', /^viewer-/]
  ]
  for (const [mode, first] of checks) {
    watched = await restarted(t, watched, { VIEW_ADDRESSES: mode })
    t.same(await figures(watched), [total, 1254], `${mode}: as before`)
    if (mode !== 'full') {
      t.notMatch(await written(watched), /"(10\.0\.\d+\.\d+|203\.0\.113\.\d+|2001:db8:5:[12][^"]*)"/, mode)
    }
    for (const address of addresses) await view(watched, address)
    await byLink()
    total += 5
    t.same(await figures(watched), [total, 1254], `${mode}: the same viewers, and a link counts once`)
    t.match((await shown(watched, `?size=1&page=${total}`)).addresses[0], first, mode)
    t.same(await differences(watched), [])
  }
})

t.test('the key of the hashes outlives a rotation of SECRET_KEY; without it the server refuses to start', async (t) => {
  let watched = await setUp(t, { VIEW_ADDRESSES: 'hashed' })
  await view(watched, addresses[0]!)
  const [first, second] = ['a second secret of more than thirty-two', 'a third secret of more than thirty-two ch']
  watched = await restarted(t, watched, { SECRET_KEY: first, SECRET_KEYS_PREVIOUS: watched.server.env.SECRET_KEY! })
  await view(watched, addresses[0]!)
  watched = await restarted(t, watched, { SECRET_KEY: first, SECRET_KEYS_PREVIOUS: '' })
  await view(watched, addresses[0]!)
  const found = await watched.server.query<{ n: unknown }>('select count(*) as n from view_viewers')
  t.equal(Number(found[0]!.n), 1)
  t.match(await playgate({ ...watched.server.env, SECRET_KEY: second }, ['erase-viewer', addresses[0]!]), {
    code: 1,
    err: /SECRET_KEYS_PREVIOUS/
  })
  await watched.server.app.close()
  const wrong = { ...watched.server.env, SECRET_KEY: second }
  for (let start = 0; start < 2; start++) {
    await t.rejects(
      openTestApp(t, wrong, watched.server.folder),
      { message: /encrypted with another SECRET_KEY.*playgate give-up-viewers/s },
      'bug: one start with a wrong SECRET_KEY overwrote the secret, and every returning viewer was new for good'
    )
  }
  watched = await restarted(t, watched, {})
  await view(watched, addresses[0]!)
  t.equal(
    Number((await watched.server.query<{ n: unknown }>('select count(*) as n from view_viewers'))[0]!.n),
    1,
    'nothing was lost'
  )
  t.match(await playgate(watched.server.env, ['give-up-viewers']), { code: 1, out: /Nothing to do/ })
  await watched.server.app.close()

  t.match(await playgate(wrong, ['give-up-viewers']), { code: 0, out: /The next start will create a new secret/ })
  const server = await openTestApp(t, wrong, watched.server.folder)
  await view({ ...watched, server }, addresses[0]!)
  t.equal(Number((await server.query<{ n: unknown }>('select count(*) as n from view_viewers'))[0]!.n), 2)
  const kept = await server.query<{ name: string }>(
    "select name from server_facts where name like 'views.address_secret.%'"
  )
  t.equal(kept.length, 1, 'the old one is kept under the id of its key')
})

t.test('the log is kept for VIEW_RETENTION_DAYS and its figures forever; its pages are exact over days', async (t) => {
  const watched = await setUp(t, { VIEW_RETENTION_DAYS: '3' }, 20)
  const { clock } = watched.server
  clock.now = Math.floor(clock.now / DAY) * DAY + DAY / 2
  const days = [3, 0, 5, 1, 4]
  for (const views of days) {
    for (let index = 0; index < views; index++) {
      clock.now++
      await view(watched, `192.0.2.${index}`)
    }
    clock.advance(DAY)
  }
  await eventually('only the last three whole days are left', async () => (await shown(watched)).total === 10)
  t.same(await figures(watched), [13, 5])
  const all = (await shown(watched)).addresses
  t.same(
    all,
    [0, 1, 2, 3, 4, 0, 0, 1, 2, 3].map((last) => `192.0.2.${last}`)
  )
  for (const size of [1, 3, 4]) {
    const pages: string[] = []
    for (let page = 1; page <= 11; page++) {
      const { addresses, total } = await shown(watched, `?size=${size}&page=${page}`)
      t.equal(total, 10)
      pages.unshift(...addresses)
    }
    t.same(pages, all, `pages of ${size}`)
  }
  t.same((await shown(watched, '?page=101&size=100')).addresses, [])
})

t.test('the address and the key of a viewer depend on the mode and the secret', async (t) => {
  const secret = Buffer.alloc(32, 1)
  const [truncated, hashed] = [new ViewerIds('truncated', secret), new ViewerIds('hashed', secret)]
  for (const [address, network] of [
    ['1.2.3.4', '1.2.3.0/24'],
    ['::ffff:1.2.3.4', '1.2.3.0/24'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['unknown', 'unknown']
  ] as const) {
    t.equal(truncated.identify(address).address, network)
  }
  for (const embedding of ['2002:102:304::1', '64:ff9b::102:304']) {
    t.equal(truncated.identify(embedding).address, '1.2.3.0/24', embedding)
  }
  t.equal(truncated.identify('1.2.3.4').addressKey, hashed.identify('::ffff:1.2.3.4').addressKey)
  t.not(truncated.identify('1.2.3.4').addressKey, truncated.identify('1.2.3.5').addressKey)
  t.not(
    new ViewerIds('hashed', Buffer.alloc(32, 2)).identify('1.2.3.4').addressKey,
    hashed.identify('1.2.3.4').addressKey,
    'the key makes it'
  )
  for (const viewerIds of [truncated, hashed]) {
    const id = viewerIds.identify('2001:db8::1')
    t.same(viewerIds.convert(id), id, 'an id that is converted twice stays the same')
  }
  t.same(new ViewerIds('full', undefined).keysOf('1.2.3.4'), ['1.2.3.4'])
})

t.test(
  'a clock that is ten years ahead for many rounds of maintenance removes nothing (bug: one view in it pruned the log)',
  async (t) => {
    const lines: string[] = []
    const stream = {
      write: (line: string) => {
        lines.push(line)
      }
    }
    const rounds = { begun: 0 }
    const server = await buildTestApp(
      t,
      { VIEW_RETENTION_DAYS: '3', ...longLived },
      {
        maintenanceIntervalMs: 20,
        clock: {
          monotonicNow () {
            rounds.begun++
            return performance.now()
          }
        },
        logger: { level: 'info', stream }
      }
    )
    const owner = await signUp(server)
    const id = (await upload(server, owner, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>().id
    const watched = { server, owner, id }
    for (const address of addresses) await view(watched, address)
    const right = server.clock.now

    await server.listen()
    const logged = (text: string) => () => lines.some((line) => line.includes(text))
    server.clock.now = right + 3650 * DAY
    t.equal((await view(watched, '203.0.113.99')).statusCode, 200)
    await eventually('the jump is noticed', logged('the clock jumped'))
    const { begun } = rounds
    await eventually('more rounds follow', () => rounds.begun > begun + 50)
    server.clock.now = right
    await eventually('and it is noticed when the clock is right', logged('the clock is trusted'))
    const count = async (table: string) =>
      Number((await server.query<{ n: unknown }>(`select count(*) as n from ${table}`))[0]!.n)
    t.same([await count('views'), await count('sessions')], [addresses.length + 1, 1], 'log and sessions are whole')

    const db = openDatabase(server.config.database)
    t.teardown(() => db.destroy())
    t.equal(await pruneViews(db, 3, right + 3650 * DAY), 0, 'nor does a command with such a clock prune')
    await db.updateTable('server_facts').set({ value: '99999' }).where('name', '=', 'views.log_starts_on_day').execute()
    // The server's own maintenance may put it right first.
    t.equal(await pruneViews(db, 3, right), 0)
    t.equal((await shown(watched)).total, addresses.length + 1, 'a start in the future is put right')
  }
)
