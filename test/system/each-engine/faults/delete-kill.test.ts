import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { openDatabase } from '../../../../src/database/open.js'
import { DAY } from '../../../../src/time.js'
import { playgate } from '../../../support/playgate.js'
import { figuresAgree } from '../../../support/counters.js'
import { newCourse, newLecture } from '../../../support/courses.js'
import { queryDatabase, testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../../support/client.js'

const KILLS = process.env.TEST_LONG ? 100 : 20
const VIEWS = 4500

t.test(
  `${KILLS} DELETEs of media, lectures and courses killed at random moments leave figures that equal the log, and ` +
    'are finished after a restart',
  { timeout: 3_600_000 },
  async (t) => {
    const { env } = await testEnvironment(t, { ACCESS_TOKEN_EXPIRE_MINUTES: '600' })
    const config = loadConfig(env)
    const db = openDatabase(config.database)
    t.teardown(() => db.destroy())
    let server = await startServer(t, env)
    const token = await newToken(server.origin, 'owner@example.org')
    const newMedia = () => newLinkedMedia(overHttp(server.origin), callerOf(token))
    const rows = (query: string) => queryDatabase<{ id: string }>(config, query)

    /** A log of some days as the server would have written it. */
    async function watch (mediaId: string): Promise<void> {
      const id = config.database.engine === 'sqlite' ? sql`${mediaId}` : sql`${mediaId}::uuid`
      await db.transaction().execute(async (trx) => {
        const statements = [
          sql`insert into views (media_id, address, address_key, viewed_at)
            with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < ${sql.lit(VIEWS)})
            select ${id}, 'a' || (n / 3), 'a' || (n / 3),
              ${sql.lit(Date.now())} - cast(n % 5 as bigint) * ${sql.lit(DAY)} from numbers`,
          sql`insert into view_days select media_id, viewed_at / ${sql.lit(DAY)}, count(*)
            from views where media_id = ${id} group by 1, 2`,
          sql`insert into view_viewers select distinct media_id, address_key from views where media_id = ${id}`,
          sql`update view_totals set total_views = ${sql.lit(VIEWS)},
            unique_viewers = (select count(*) from view_viewers where media_id = ${id}) where media_id = ${id}`
        ]
        for (const statement of statements) await statement.execute(trx)
      })
    }

    async function lecture (): Promise<{ course: string; lecture: string; media: string }> {
      const client = overHttp(server.origin)
      const { id: course } = await newCourse(client, callerOf(token))
      const added = await newLecture(client, callerOf(token), course, { file: 'tiny.ogg' })
      return { course, lecture: added.id, media: added.asset_id }
    }

    const stays = await newMedia()
    await watch(stays)
    let finished = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const target = kill % 3 === 0 ? { media: await newMedia(), path: '' } : { ...(await lecture()), path: '' }
      await watch(target.media)
      target.path = !('course' in target)
        ? `/media/${target.media}`
        : kill % 3 === 1
          ? `/lecture/${target.lecture}`
          : `/course/${target.course}`
      const reply = call(server.origin, target.path, { token, method: 'DELETE' })
      // Every other one is killed after its answer, while rows are removed.
      if (kill % 2 === 0) await reply
      await sleep(Math.random() * 60)
      await server.end('SIGKILL')
      const { status } = await reply
      const marked =
        (await rows(`select id from media where id = '${target.media}' and deleted_at is null`)).length === 0
      if (status === 204) t.ok(marked, `${target.path}: what was answered stays deleted`)
      const recount = await playgate(env, ['recount', '--dry-run', '--json'])
      t.same(recount.json<{ differences: unknown[] }>().differences, [], `kill ${kill}: figures equal the log`)
      server = await startServer(t, env)
      t.equal((await call(server.origin, `/media/${target.media}`, { token })).status, marked ? 404 : 200)
      if (!marked) continue
      finished++
      const left = () => rows("select id from jobs where kind in ('delete-media', 'delete-course')")
      // Where others may run, a job that was cut off waits for its lease.
      await db.updateTable('jobs').set({ run_after: 0 }).execute()
      await eventually(`kill ${kill}: the deletion is finished`, async () => (await left()).length === 0)
      for (const table of ['views', 'view_days', 'view_viewers', 'view_totals', 'lectures']) {
        t.same(await rows(`select * from ${table} where media_id = '${target.media}'`), [], table)
      }
      t.same(await rows(`select id from media where id = '${target.media}'`), [])
    }
    t.ok(finished >= KILLS / 2, `${finished} of ${KILLS} deletions had begun`)
    t.equal((await call(server.origin, `/media/${stays}/analytics`, { token })).body.total_views, VIEWS)
    await figuresAgree(t, { query: (text) => queryDatabase(config, text) }, 'in the end')
    t.equal(await server.end('SIGTERM'), 0)
    const swept = await playgate(env, ['sweep', '--no-server-runs', '--json'])
    t.match(swept.json(), { items: [], acknowledged: [] }, 'and no file of a deleted media is left')
  }
)
