import t from 'tap'
import { isoDay, setUp, today } from '../../../support/view-log.js'

t.test('recount', async (t) => {
  const { server, id, view, analytics, run, recount } = await setUp(t)
  const truth = { total_views: 5, unique_viewers: 2, recent_views_7days: 5, views_per_day: { [isoDay(today)]: 5 } }

  await t.test('finds no difference where there is none', async (t) => {
    t.match(await run('recount'), { code: 0, out: 'No differences.\n' })
    t.match(await recount('--dry-run'), { code: 0, differences: [], fixed: false })
  })

  await t.test(
    'finds planted differences, changes nothing when dry, and fixes them past the cache of a server',
    async (t) => {
      t.match(await analytics(), truth)
      await server.query('update view_days set views = 9')
      await server.query('update view_totals set unique_viewers = 7')
      const differences = [
        { media_id: id, what: isoDay(today), rolled_up: 9, logged: 5 },
        { media_id: id, what: 'total', rolled_up: 5, logged: 9 },
        { media_id: id, what: 'unique viewers', rolled_up: 7, logged: 2 }
      ]
      for (let round = 0; round < 2; round++) {
        t.match(await recount('--dry-run'), { code: 1, differences, fixed: false }, `dry ${round}`)
      }
      t.match(await analytics(), { ...truth, cached: true }, 'the server shows what it keeps')
      t.match(await recount(), { code: 0, differences, fixed: true })
      t.match(await analytics(), { ...truth, cached: false }, 'and now what is true')
      t.match(await run('recount'), { code: 0, out: 'No differences.\n' })
    }
  )

  await t.test('a wrong figure that a server has cached is not shown after it', async (t) => {
    await server.query('update view_totals set unique_viewers = 40')
    await server.query('update view_days set views = 8')
    await view('192.0.2.1')
    t.match(await analytics(), { unique_viewers: 40, views_per_day: { [isoDay(today)]: 9 }, cached: false })
    t.match(await analytics(), { cached: true })
    t.equal((await recount()).code, 0)
    t.match(await analytics(), {
      total_views: 6,
      unique_viewers: 2,
      views_per_day: { [isoDay(today)]: 6 },
      cached: false
    })
  })

  await t.test('finds a day that is missing, and one that never was', async (t) => {
    await server.query(`update view_days set day = ${today - 3}`)
    t.match(await recount(), {
      code: 0,
      differences: [
        { what: isoDay(today - 3), rolled_up: 6, logged: 0 },
        { what: isoDay(today), rolled_up: 0, logged: 6 }
      ]
    })
    t.match(await analytics(), { views_per_day: { [isoDay(today)]: 6 } })
  })

  await t.test('a viewer that is not among the known ones is found, though the number is right', async (t) => {
    await server.query("delete from view_viewers where address_key = '192.0.2.2'")
    t.match(await recount('--dry-run'), { code: 1, differences: [{ what: 'known viewers', rolled_up: 1, logged: 2 }] })
    t.equal((await recount()).code, 0)
    await view('192.0.2.2')
    t.match(await analytics(), { unique_viewers: 2 }, 'it would have been counted twice')
  })
})
