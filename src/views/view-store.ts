import type { Kysely, Transaction } from 'kysely'
import { compileOnce } from '../database/compile-once.js'
import { engineOf } from '../database/dialect.js'
import { findFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import { DAY, utcDay } from '../time.js'
import type { View } from './schema.js'
import { claimTokenViews } from './token-view-store.js'

/** The name of the fact with the first day whose rows are all still in the log. */
export const LOG_STARTS = 'views.log_starts_on_day'

/**
 * The result of a view. `repeated`: it was counted before for this link (or token) and address. `gone`: the media does
 * not exist.
 */
export type ViewOutcome = 'counted' | 'repeated' | 'gone'

/** The counts of a media, from one snapshot. `days` has only days with views, oldest first. */
export interface ViewTotals {
  totalViews: number
  uniqueViewers: number
  revision: number
  days: Array<{ day: number; views: number }>
}

export type ViewCounts = Pick<ViewTotals, 'totalViews' | 'uniqueViewers'>

/**
 * Inserts a batch into the log and adds it to the roll-ups, in one transaction. Returns the outcomes in the order of
 * the batch. All batches take their locks in the same order, so that processes cannot deadlock: totals first, then keys
 * in sequence.
 */
export const insertViews = (db: Kysely<Database>, batch: View[]): Promise<ViewOutcome[]> =>
  db.transaction().execute((trx) => insertViewsIn(trx, batch))

export async function insertViewsIn (trx: Transaction<Database>, batch: View[]): Promise<ViewOutcome[]> {
  const existing = await lockTotals(trx, [...new Set(batch.map((view) => view.mediaId))].sort())
  const possible = batch.filter((view) => existing.has(view.mediaId))
  const claimed = await claimTokenViews(
    trx,
    possible.filter((view) => view.byToken)
  )
  const fresh = possible.filter((view) => !view.byToken || claimed.has(view))
  const counted = await insertLogRows(trx, withoutRepeats(fresh))
  if (counted.size > 0) await addToRollUps(trx, [...counted])
  return batch.map((view) => (counted.has(view) ? 'counted' : existing.has(view.mediaId) ? 'repeated' : 'gone'))
}

/**
 * Returns the totals of a media, and its daily counts since `fromDay`. One statement reads both from one snapshot.
 * Undefined if the media does not exist.
 */
export async function findViewTotals (
  db: Kysely<Database>,
  mediaId: string,
  fromDay: number
): Promise<ViewTotals | undefined> {
  const rows = await db
    .selectFrom('view_totals')
    .leftJoin('view_days', (join) =>
      join.onRef('view_days.media_id', '=', 'view_totals.media_id').on('view_days.day', '>=', fromDay)
    )
    .select(['total_views', 'unique_viewers', 'revision', 'day', 'views'])
    .where('view_totals.media_id', '=', mediaId)
    .orderBy('day')
    .execute()
  if (rows[0] === undefined) return undefined
  return {
    totalViews: rows[0].total_views,
    uniqueViewers: rows[0].unique_viewers,
    revision: rows[0].revision,
    days: rows.flatMap(({ day, views }) => (day === null || views === null ? [] : [{ day, views }]))
  }
}

export async function findViewCounts (db: Kysely<Database>, mediaIds: string[]): Promise<Map<string, ViewCounts>> {
  if (mediaIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('view_totals')
    .select(['media_id', 'total_views', 'unique_viewers'])
    .where('media_id', 'in', mediaIds)
    .execute()
  return new Map(rows.map((row) => [row.media_id, { totalViews: row.total_views, uniqueViewers: row.unique_viewers }]))
}

const viewStamp = compileOnce((db, { mediaId }: { mediaId: string }) =>
  db.selectFrom('view_totals').select(['total_views', 'revision']).where('media_id', '=', mediaId)
)

/** Returns the values that change with the counts, for cache keys. Undefined if the media does not exist. */
export async function findViewStamp (
  db: Kysely<Database>,
  mediaId: string
): Promise<{ totalViews: number; revision: number } | undefined> {
  const [row] = await viewStamp(db, { mediaId })
  return row && { totalViews: row.total_views, revision: row.revision }
}

/** Returns the time of the newest row in the log, in epoch milliseconds. Undefined if the log is empty. */
export async function findNewestView (db: Kysely<Database>): Promise<number | undefined> {
  const row = await db.selectFrom('views').select('viewed_at').orderBy('viewed_at', 'desc').limit(1).executeTakeFirst()
  return row === undefined ? undefined : Number(row.viewed_at)
}

/** Returns the first day whose rows are all still in the log. */
export async function findLogStart (db: Kysely<Database>): Promise<number> {
  return Number((await findFact(db, LOG_STARTS)) ?? 0)
}

/**
 * Returns a page of the log of a media, newest first, and the number of its rows that are still in the log. The daily
 * counts skip whole days before the page, so the query skips at most the rows of one day.
 */
export async function listViews (
  db: Kysely<Database>,
  mediaId: string,
  page: PageQuery
): Promise<{ items: View[]; total: number }> {
  let skip = offsetOf(page)
  const firstDay = await findLogStart(db)
  const days = await db
    .selectFrom('view_days')
    .select(['day', 'views'])
    .where('media_id', '=', mediaId)
    .where('day', '>=', firstDay)
    .orderBy('day', 'desc')
    .execute()
  const total = days.reduce((sum, { views }) => sum + views, 0)
  while (days[0] !== undefined && skip >= days[0].views) skip -= days.shift()!.views
  const [newest] = days
  if (newest === undefined) return { items: [], total }
  const rows = await db
    .selectFrom('views')
    .selectAll()
    .where('media_id', '=', mediaId)
    .where('viewed_at', '<', (newest.day + 1) * DAY)
    .where('viewed_at', '>=', firstDay * DAY)
    .orderBy('viewed_at', 'desc')
    .orderBy('id', 'desc')
    .limit(page.size)
    .offset(skip)
    .execute()
  const items = rows.map((row) => ({
    mediaId: row.media_id,
    linkId: row.link_id,
    address: row.address,
    addressKey: row.address_key,
    accountId: row.account_id,
    userAgent: row.user_agent,
    viewedAt: row.viewed_at
  }))
  return { items, total }
}

async function lockTotals (trx: Transaction<Database>, mediaIds: string[]): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('view_totals')
    .select('media_id')
    .where('media_id', 'in', mediaIds)
    .orderBy('media_id')
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .execute()
  return new Set(rows.map((row) => row.media_id))
}

function linkKey (linkId: string | null, addressKey: string): string {
  return `${linkId} ${addressKey}`
}

/** Returns the first view of each link and address in a batch, sorted by key, and then all views without a link. */
function withoutRepeats (views: View[]): View[] {
  const first = new Map<string, View>()
  const others: View[] = []
  for (const view of views) {
    const key = linkKey(view.linkId, view.addressKey)
    if (view.linkId === null) others.push(view)
    else if (!first.has(key)) first.set(key, view)
  }
  return [...[...first.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view), ...others]
}

/** Inserts views and returns the new ones. For views by a link, the unique index finds repeated views. */
async function insertLogRows (trx: Transaction<Database>, views: View[]): Promise<Set<View>> {
  if (views.length === 0) return new Set()
  const inserted = await trx
    .insertInto('views')
    .values(
      views.map((view) => ({
        media_id: view.mediaId,
        link_id: view.linkId,
        address: view.address,
        address_key: view.addressKey,
        account_id: view.accountId,
        user_agent: view.userAgent,
        viewed_at: view.viewedAt
      }))
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning(['link_id', 'address_key'])
    .execute()
  const keys = new Set(inserted.map((row) => linkKey(row.link_id, row.address_key)))
  return new Set(views.filter((view) => view.linkId === null || keys.has(linkKey(view.linkId, view.addressKey))))
}

async function addToRollUps (trx: Transaction<Database>, views: View[]): Promise<void> {
  const viewers = new Map(
    views.map((view) => [
      `${view.mediaId} ${view.addressKey}`,
      { media_id: view.mediaId, address_key: view.addressKey }
    ])
  )
  const fresh = await trx
    .insertInto('view_viewers')
    .values([...viewers.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row))
    .onConflict((conflict) => conflict.doNothing())
    .returning('media_id')
    .execute()
  const totals = new Map<string, { media_id: string; total_views: number; unique_viewers: number; revision: number }>()
  const days = new Map<string, { media_id: string; day: number; views: number }>()
  for (const { mediaId, viewedAt } of views) {
    const total = totals.get(mediaId) ?? { media_id: mediaId, total_views: 0, unique_viewers: 0, revision: 0 }
    totals.set(mediaId, total).get(mediaId)!.total_views++
    const day = utcDay(viewedAt)
    const key = `${mediaId} ${day}`
    const views = days.get(key) ?? { media_id: mediaId, day, views: 0 }
    days.set(key, views).get(key)!.views++
  }
  for (const { media_id: mediaId } of fresh) totals.get(mediaId)!.unique_viewers++
  await trx
    .insertInto('view_totals')
    .values([...totals.values()])
    .onConflict((conflict) =>
      conflict.column('media_id').doUpdateSet((set) => ({
        total_views: set('view_totals.total_views', '+', set.ref('excluded.total_views')),
        unique_viewers: set('view_totals.unique_viewers', '+', set.ref('excluded.unique_viewers'))
      }))
    )
    .execute()
  await trx
    .insertInto('view_days')
    .values([...days.values()])
    .onConflict((conflict) =>
      conflict.columns(['media_id', 'day']).doUpdateSet((set) => ({
        views: set('view_days.views', '+', set.ref('excluded.views'))
      }))
    )
    .execute()
}
