import { sql, type Kysely } from 'kysely'
import { engineOf } from '../src/database/dialect.js'
import type { Database } from '../src/database/tables.js'
import { DAY } from '../src/time.js'

const DAYS = 30
const VIEWS_A_VIEWER = 4

/**
 * Writes `views` rows of one media over the last 30 days, oldest first as a log is written, each viewer coming four
 * times, and the roll-ups that belong to them, in bulk.
 */
export async function fillLog (db: Kysely<Database>, mediaId: string, views: number): Promise<void> {
  const now = Date.now()
  // SQLite joins text before it divides.
  const address = (n: string) => `'10.' || (${n} / 65536) || '.' || (${n} / 256 % 256) || '.' || (${n} % 256)`
  const viewer = `(n / ${VIEWS_A_VIEWER})`
  await db.transaction().execute(async (trx) => {
    // Each row is of the one media: to look it up ten million times is most of the time.
    if (engineOf(db) === 'postgres') await sql`set local session_replication_role = replica`.execute(trx)
    const id = engineOf(db) === 'sqlite' ? sql.lit(mediaId) : sql`${sql.lit(mediaId)}::uuid`
    const daysAgo = sql`${sql.lit(DAYS - 1)} - cast(n as bigint) * ${sql.lit(DAYS)} / ${sql.lit(views)}`
    const statements = [
      sql`insert into views (media_id, address, address_key, user_agent, viewed_at)
        with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < ${sql.lit(views)})
        select ${id}, ${sql.raw(address(viewer))}, ${sql.raw(address(viewer))}, 'bench',
          ${sql.lit(now)} - (${daysAgo}) * ${sql.lit(DAY)} from numbers`,
      sql`insert into view_days (media_id, day, views)
        select media_id, viewed_at / ${sql.lit(DAY)}, count(*) from views group by 1, 2`,
      sql`insert into view_viewers (media_id, address_key) select distinct media_id, address_key from views`,
      sql`update view_totals set total_views = ${sql.lit(views)},
        unique_viewers = (select count(*) from view_viewers)`
    ]
    for (const statement of statements) await statement.execute(trx)
  })
  if (engineOf(db) === 'postgres') await sql`vacuum analyze`.execute(db)
}
