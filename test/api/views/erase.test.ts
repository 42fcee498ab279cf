import { sql } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../../src/database/open.js'
import { recountViews } from '../../../src/views/view-maintenance.js'
import { eraseViewer } from '../../../src/views/viewer-erasure.js'
import { buildTestApp } from '../../support/test-app.js'
import { signUp, upload } from '../../support/client.js'

t.test(
  'an erasure works in batches, and one that was cut off is finished by the next without another viewer',
  async (t) => {
    const server = await buildTestApp(t)
    const owner = await signUp(server)
    const { id } = (await upload(server, owner)).json<{ id: string }>()
    const db = openDatabase(server.config.database)
    t.teardown(() => db.destroy())
    const views = 3500
    await db
      .insertInto('views')
      .values(
        Array.from({ length: 500 }, (_, n) => ({
          media_id: id,
          link_id: null,
          address: `192.0.2.${n % 2}`,
          address_key: `192.0.2.${n % 2}`,
          account_id: null,
          user_agent: null,
          viewed_at: n
        }))
      )
      .execute()
    for (let count = 500; count < views; count += 500) {
      await sql`insert into views (media_id, address, address_key, viewed_at)
        select media_id, address, address_key, viewed_at + ${sql.lit(count)} from views where viewed_at < 500`.execute(
        db
      )
    }
    await sql`insert into view_days select media_id, 0, count(*) from views group by media_id`.execute(db)
    await sql`insert into view_viewers select distinct media_id, address_key from views`.execute(db)
    await sql`update view_totals set total_views = ${sql.lit(views)}, unique_viewers = 2`.execute(db)
    t.same(await recountViews(db, { dryRun: true }), [])

    // Cut off: the second batch of the log fails.
    let updates = 0
    const failing = db.withPlugin({
      transformQuery ({ node }) {
        if (node.kind === 'UpdateQueryNode' && ++updates === 2) throw new Error('cut off')
        return node
      },
      transformResult: async ({ result }) => result
    })
    await t.rejects(eraseViewer(failing, ['192.0.2.1']), /cut off/)
    const left = async () =>
      (await db.selectFrom('views').select('id').where('address_key', '=', '192.0.2.1').execute()).length
    t.ok((await left()) > 0 && (await left()) < views / 2, 'half erased')
    await eraseViewer(db, ['192.0.2.1'])
    t.equal(await left(), 0)
    t.same(await recountViews(db, { dryRun: true }), [], 'counts stay')
    t.same(await db.selectFrom('server_facts').select('name').where('name', '=', 'views.erasure').execute(), [])
    const names = await db.selectFrom('view_viewers').select('address_key').execute()
    t.equal(names.length, 2)
  }
)
