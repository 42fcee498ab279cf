import { sql, type Kysely, type Transaction } from 'kysely'
import { findClock } from '../database/clock-store.js'
import { advisoryLock, engineOf } from '../database/dialect.js'
import { upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import { DAY, isoDay, utcDay } from '../time.js'
import { TOKEN_VIEW_MS } from './token-view-store.js'
import { findLogStart, findNewestView, LOG_STARTS } from './view-store.js'

/** On SQLite, a deletion blocks the event loop: about 7 ms for 1000 rows. */
const DELETE_BATCH = 1000

/** A difference between the roll-ups of a media and its log, with both values. */
export interface Difference {
  media_id: string
  what: string
  rolled_up: number
  logged: number
}

/** Called repeatedly during long work. */
export type OnProgress = (done: number, total: number) => void

/**
 * Deletes log rows older than `days` whole UTC days, in batches. Totals, unique viewers and daily counts do not change.
 * If `now` is more than a day after the last trusted time, days are counted from that time. Before the first clock
 * check, the trusted time is that of the newest row. Safe while a server runs. An aborted `signal` ends it after the
 * current batch. Returns the number of deleted rows.
 */
export async function pruneViews (
  db: Kysely<Database>,
  days: number,
  now: number,
  onProgress: OnProgress = () => {},
  signal?: AbortSignal
): Promise<number> {
  const last = (await findClock(db))?.trusted ?? (await findNewestView(db))
  if (last === undefined) return 0
  const firstDay = utcDay(now - last > DAY ? last : now) - days
  await raiseLogStart(db, firstDay, utcDay(now))
  const { total } = await db
    .selectFrom('views')
    .select((select) => select.fn.countAll<number>().as('total'))
    .where('viewed_at', '<', firstDay * DAY)
    .executeTakeFirstOrThrow()
  let deleted = 0
  while (true) {
    const oldest = db
      .selectFrom('views')
      .select('id')
      .where('viewed_at', '<', firstDay * DAY)
      .orderBy('viewed_at')
      .limit(DELETE_BATCH)
    const { numDeletedRows } = await db.deleteFrom('views').where('id', 'in', oldest).executeTakeFirst()
    deleted += Number(numDeletedRows)
    onProgress(deleted, total)
    if (Number(numDeletedRows) < DELETE_BATCH || signal?.aborted) return deleted
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

/**
 * Recomputes the roll-ups of every media from its log, for the days whose rows are all still in the log. Older days do
 * not change. It compares a media without a lock first, and again with a lock if there is a difference. Returns the
 * differences. With `dryRun`, it changes nothing.
 */
export async function recountViews (
  db: Kysely<Database>,
  { dryRun = false, onProgress = () => {} }: { dryRun?: boolean; onProgress?: OnProgress } = {}
): Promise<Difference[]> {
  const media = await db.selectFrom('view_totals').select('media_id').orderBy('media_id').execute()
  const found: Difference[] = []
  for (const [index, { media_id: mediaId }] of media.entries()) {
    let differences = await compare(db, mediaId, await findLogStart(db))
    if (differences.length > 0) {
      differences = await db.transaction().execute(async (trx) => {
        // A prune that starts now waits for this lock. Otherwise its deleted rows would look like views that were never
        // logged.
        await advisoryLock(trx, LOG_STARTS)
        const firstDay = await findLogStart(trx)
        await trx
          .selectFrom('view_totals')
          .select('media_id')
          .where('media_id', '=', mediaId)
          .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
          .execute()
        const locked = await compare(trx, mediaId, firstDay)
        if (locked.length > 0 && !dryRun) await fixTotals(trx, mediaId, firstDay)
        return locked
      })
    }
    found.push(...differences)
    onProgress(index + 1, media.length)
  }
  return found
}

/** Deletes, in batches, the rows that no longer prevent a view from counting, and the rows that a fast clock left. */
export async function pruneTokenViews (db: Kysely<Database>, now: number, signal: AbortSignal): Promise<void> {
  const stale = [
    ['<=', now - TOKEN_VIEW_MS],
    ['>=', now + TOKEN_VIEW_MS]
  ] as const
  for (const [operator, moment] of stale) {
    await inBatches(signal, async () => {
      const some = db
        .selectFrom('token_views')
        .select(['media_id', 'account_id', 'address_key'])
        .where('viewed_at', operator, moment)
        .limit(DELETE_BATCH)
      return await db
        .deleteFrom('token_views')
        .where(({ eb, refTuple }) =>
          eb(
            refTuple('media_id', 'account_id', 'address_key'),
            'in',
            some.$asTuple('media_id', 'account_id', 'address_key')
          )
        )
        .where('viewed_at', operator, moment)
        .executeTakeFirst()
    })
  }
}

/**
 * Deletes the log, the viewers and the daily counts of a deleted media, in batches. A single deletion of a long log
 * would block all other work.
 */
export async function deleteViewsOf (db: Kysely<Database>, mediaId: string, signal: AbortSignal): Promise<void> {
  await inBatches(signal, async () => {
    const some = db.selectFrom('views').select('id').where('media_id', '=', mediaId).limit(DELETE_BATCH)
    return await db.deleteFrom('views').where('id', 'in', some).executeTakeFirst()
  })
  await inBatches(signal, async () => {
    const some = db.selectFrom('view_viewers').select('address_key').where('media_id', '=', mediaId).limit(DELETE_BATCH)
    return await db
      .deleteFrom('view_viewers')
      .where('media_id', '=', mediaId)
      .where('address_key', 'in', some)
      .executeTakeFirst()
  })
  await db.deleteFrom('view_days').where('media_id', '=', mediaId).execute()
}

/**
 * Deletes batches of rows until one is not full. Yields to the event loop after each full batch. **Throws** the reason
 * of `signal`.
 */
async function inBatches (signal: AbortSignal, deleteSome: () => Promise<{ numDeletedRows: bigint }>): Promise<void> {
  while (Number((await deleteSome()).numDeletedRows) === DELETE_BATCH) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    signal.throwIfAborted()
  }
}

/**
 * Stores the first day whose rows all stay in the log, before the first row is deleted. An interrupted prune leaves a
 * day with only some of its rows, and a recount must not treat that day as complete. A stored start after today comes
 * from a clock that was ahead, and is replaced.
 */
async function raiseLogStart (db: Kysely<Database>, day: number, today: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, LOG_STARTS)
    const stored = await findLogStart(trx)
    await upsertFact(trx, LOG_STARTS, String(stored > today ? day : Math.max(day, stored)))
  })
}

/** Uses one statement, so that all values come from one snapshot on both engines. */
async function compare (db: Kysely<Database>, mediaId: string, firstDay: number): Promise<Difference[]> {
  const { rows } = await sql<{ kind: string; day: number | null; rolled_up: number; logged: number }>`
    with logged as (
      select viewed_at / ${sql.lit(DAY)} as day, count(*) as views from views
      where media_id = ${mediaId} and viewed_at >= ${sql.lit(firstDay * DAY)} group by 1
    ), rolled as (
      select day, views from view_days where media_id = ${mediaId}
    ), strangers as (
      select distinct address_key from views where media_id = ${mediaId} and viewed_at >= ${sql.lit(firstDay * DAY)}
        and not exists (
          select 1 from view_viewers
          where view_viewers.media_id = ${mediaId} and view_viewers.address_key = views.address_key
        )
    ), totals as (
      select (select count(*) from view_viewers where media_id = ${mediaId}) as known,
        (select count(*) from strangers) as unknown,
        (select coalesce(sum(views), 0) from rolled) as sum_of_days,
        total_views, unique_viewers from view_totals where media_id = ${mediaId}
    )
    select 'day' as kind, coalesce(rolled.day, logged.day) as day,
      coalesce(rolled.views, 0) as rolled_up, coalesce(logged.views, 0) as logged
      from (select * from rolled where day >= ${sql.lit(firstDay)}) as rolled
      full outer join logged on logged.day = rolled.day
      where coalesce(rolled.views, 0) <> coalesce(logged.views, 0)
    union all select 'total', null, total_views, sum_of_days from totals where total_views <> sum_of_days
    union all select 'unique viewers', null, unique_viewers, known + unknown from totals
      where unique_viewers <> known + unknown
    union all select 'known viewers', null, known, known + unknown from totals where unknown > 0`.execute(db)
  return rows.map(({ kind, day, rolled_up: rolledUp, logged }) => ({
    media_id: mediaId,
    what: day === null ? kind : isoDay(Number(day)),
    rolled_up: Number(rolledUp),
    logged: Number(logged)
  }))
}

async function fixTotals (trx: Transaction<Database>, mediaId: string, firstDay: number): Promise<void> {
  const first = firstDay * DAY
  await trx.deleteFrom('view_days').where('media_id', '=', mediaId).where('day', '>=', firstDay).execute()
  await sql`insert into view_days (media_id, day, views)
    select media_id, viewed_at / ${sql.lit(DAY)}, count(*) from views
    where media_id = ${mediaId} and viewed_at >= ${sql.lit(first)} group by 1, 2`.execute(trx)
  await sql`insert into view_viewers (media_id, address_key)
    select distinct media_id, address_key from views
    where media_id = ${mediaId} and viewed_at >= ${sql.lit(first)} on conflict do nothing`.execute(trx)
  await sql`update view_totals set
    total_views = (select coalesce(sum(views), 0) from view_days where view_days.media_id = view_totals.media_id),
    unique_viewers = (select count(*) from view_viewers where view_viewers.media_id = view_totals.media_id),
    revision = revision + 1 where media_id = ${mediaId}`.execute(trx)
}
