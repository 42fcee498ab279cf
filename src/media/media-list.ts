import { sql, type Kysely, type SelectQueryBuilder } from 'kysely'
import { findCounter } from '../database/counters.js'
import { contains, isWithin, placeOf, search, type Place, type Section } from '../database/search.js'
import type { Database } from '../database/tables.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import { mediaOf } from './media-row.js'
import type { Media, MediaType } from './schema.js'

export interface MediaFilter {
  ownerId?: string
  type?: MediaType
  titlePart?: string
}
type Narrowing = Omit<MediaFilter, 'titlePart'>
type MediaQuery<O> = SelectQueryBuilder<Database, 'media', O>

/** Returns a page of media, newest first, and their total. The total of a search is at most {@link MAX_MATCHES}. */
export async function listMedia (
  db: Kysely<Database>,
  filter: MediaFilter,
  page: PageQuery
): Promise<{ items: Media[]; total: number }> {
  const offset = offsetOf(page)
  const { titlePart, ...narrowing } = filter
  if (titlePart === undefined) {
    const rows = await mediaPage(db, narrowing, page.size, offset).execute()
    return {
      items: rows.map(mediaOf),
      total: await findCounter(
        db,
        ['media', filter.ownerId, filter.type].filter((part) => part !== undefined).join(':')
      )
    }
  }
  const found = await search({
    findEnd: async (after, rows) => placeOf(await mediaSearchEnd(db, narrowing, after, rows).executeTakeFirst()),
    findMatches: async (section) =>
      (await mediaMatches(db, narrowing, titlePart, section).execute()).map(({ id }) => id)
  })
  const ids = found.slice(offset, offset + page.size)
  const rows =
    ids.length === 0
      ? []
      : await db.selectFrom('media').selectAll().where('id', 'in', ids).where('deleted_at', 'is', null).execute()
  const byId = new Map(rows.map((row) => [row.id, mediaOf(row)]))
  return { items: ids.flatMap((id) => byId.get(id) ?? []), total: found.length }
}

/** Reads the ids of the page from an index, and then only the rows of the page. */
export function mediaPage (db: Kysely<Database>, filter: Narrowing, size: number, offset: number) {
  const ids = narrowed(db.selectFrom('media'), filter)
    .select(['id', 'created_at'])
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(size)
    .offset(offset)
  return db
    .selectFrom(ids.as('page'))
    .innerJoin('media', 'media.id', 'page.id')
    .selectAll('media')
    .orderBy('page.created_at', 'desc')
    .orderBy('page.id', 'desc')
}

export function mediaSearchEnd (db: Kysely<Database>, filter: Narrowing, after: Place | undefined, rows: number) {
  return narrowed(db.selectFrom('media'), filter)
    .select(['id', 'created_at'])
    .where(isWithin({ after }))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .offset(rows - 1)
}

export function mediaMatches (db: Kysely<Database>, filter: Narrowing, titlePart: string, section: Section) {
  return narrowed(db.selectFrom('media'), filter)
    .select('id')
    .where(isWithin(section))
    .where(contains(sql<string>`coalesce(title_search, lower(title))`, titlePart))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
}

function narrowed<O> (query: MediaQuery<O>, { ownerId, type }: Narrowing): MediaQuery<O> {
  query = query.where('deleted_at', 'is', null)
  if (ownerId !== undefined) query = query.where('owner_id', '=', ownerId)
  return type === undefined ? query : query.where('type', '=', type)
}
