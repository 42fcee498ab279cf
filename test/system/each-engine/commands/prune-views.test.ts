import t from 'tap'
import { mintLink } from '../../../support/client.js'
import { playgate } from '../../../support/playgate.js'
import { DAY, isoDay, setUp, today } from '../../../support/view-log.js'

t.test('prune-views', async (t) => {
  const { server, analytics, run, recount, viewsOn, logged } = await setUp(t)
  await viewsOn(today - 30, 11_000, '192.0.2.3')
  await viewsOn(today - 3, 2, '192.0.2.4')
  const truth = {
    total_views: 11_007,
    unique_viewers: 4,
    views_per_day: { [isoDay(today - 3)]: 2, [isoDay(today)]: 5 }
  }

  await t.test('needs a whole number of days', async (t) => {
    for (const args of [[], ['--days', '0'], ['--days', '1.5'], ['--days', 'x'], ['--days', '-3']]) {
      t.match(await run('prune-views', ...args), { code: 2, out: '', err: /--days/ }, args.join(' '))
    }
    t.equal(await logged(), 11_007)
  })

  await t.test('refuses so few days that a view of a living link would be counted again', async (t) => {
    t.match(await run('prune-views', '--days', '1'), {
      code: 2,
      err: /--days must be 2 or more: a link is valid for up to STREAM_TOKEN_MAX_SECONDS \(86400\)/
    })
    t.match(await playgate({ ...server.env, STREAM_TOKEN_MAX_SECONDS: '604801' }, ['prune-views', '--days', '8']), {
      code: 2,
      err: /--days must be 9 or more/
    })
  })

  await t.test('deletes older rows, batch after batch, and changes no figure', async (t) => {
    t.same((await run('prune-views', '--days', '10', '--json')).json(), { deleted: 11_000 })
    t.equal(await logged(), 7)
    t.match(await analytics(), truth)
    t.match(await run('prune-views', '--days', '10'), { code: 0, out: '0 rows deleted.\n' })
  })

  await t.test('what is pruned is untouched by a recount, and totals keep it', async (t) => {
    t.match(await recount('--dry-run'), { code: 0, differences: [] })
    await server.query(`update view_days set views = 77 where day = ${today}`)
    t.match(await recount(), { differences: [{ what: isoDay(today) }, { what: 'total' }] })
    t.match(await analytics(), truth)
  })

  await t.test('one with more days afterwards does not make half a log look whole', async (t) => {
    t.match(await run('prune-views', '--days', '100'), { code: 0 })
    t.match(await recount('--dry-run'), { code: 0, differences: [] })
  })
})

t.test('the oldest view that a living link can have stays, and so it is that one view', async (t) => {
  const { server, owner, id, analytics, run } = await setUp(t)
  const link = await mintLink(server, id, owner, '?expires_in=86400')
  await server.inject({ url: link })
  await server.query(`update views set viewed_at = viewed_at - ${DAY} where link_id is not null`)
  t.match(await run('prune-views', '--days', '2'), { code: 0 })
  await server.inject({ method: 'POST', url: `/media/${id}/view?${link.split('?')[1]!}` })
  t.match(await analytics(), { total_views: 6 })
})

t.test('a prune that was cut in the middle does not mislead a recount', async (t) => {
  const { server, analytics, recount, viewsOn } = await setUp(t)
  await viewsOn(today - 30, 500, '192.0.2.3')
  await server.query(`insert into server_facts (name, value) values ('views.log_starts_on_day', '${today - 10}')`)
  await server.query(
    `delete from views where id in (select id from views where viewed_at < ${(today - 10) * DAY} limit 200)`
  )
  const before = await analytics()
  t.match(before, { total_views: 505, unique_viewers: 3 })
  t.match(await recount(), { code: 0, differences: [] })
  t.match(await analytics(), { total_views: 505, unique_viewers: 3 })
})

t.test('a prune and recounts at once, under views, find no difference and lose nothing', async (t) => {
  const { view, analytics, run, recount, viewsOn } = await setUp(t)
  for (let day = 20; day < 26; day++) await viewsOn(today - day, 5001, `198.51.100.${day}`)
  let done = false
  const pruning = run('prune-views', '--days', '10').finally(() => {
    done = true
  })
  let views = 5
  while (!done) {
    views += (await Promise.all(Array.from({ length: 5 }, () => view('192.0.2.1')))).filter(
      ({ statusCode }) => statusCode === 200
    ).length
    t.same((await recount()).differences, [])
  }
  t.match(await pruning, { code: 0, out: '30006 rows deleted.\n' })
  t.match(await analytics(), { total_views: 30_006 + views, unique_viewers: 8 })
  t.equal((await run('recount', '--dry-run')).code, 0)
})
