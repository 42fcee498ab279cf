import { sql, type Kysely, type SelectQueryBuilder } from 'kysely'
import { findCounter } from '../database/counters.js'
import { contains, search, type Place } from '../database/search.js'
import type { Database } from '../database/tables.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import { mediaOf } from './media-store.js'
import type { Media, MediaType } from './schema.js'

export interface MediaFilter {
  ownerId?: string
  type?: MediaType
  titlePart?: string
}
type MediaQuery<O> = SelectQueryBuilder<Database, 'media', O>

/** A page, newest first, and how many there are in all; of a search at most {@link MAX_MATCHES}. */
export async function listMedia (
  db: Kysely<Database>,
  filter: MediaFilter,
  page: PageQuery
): Promise<{ items: Media[]; total: number }> {
  const offset = offsetOf(page)
  if (filter.titlePart === undefined) {
    const rows = await mediaPage(db, filter, page.size, offset).execute()
    return {
      items: rows.map(mediaOf),
      total: await findCounter(
        db,
        ['media', filter.ownerId, filter.type].filter((part) => part !== undefined).join(':')
      )
    }
  }
  const found = await search(async (after, limit) => {
    const rows = await mediaSearchStep(db, filter, after, limit).execute()
    const last = rows.length === limit ? rows.at(-1)! : undefined
    return {
      matches: rows.filter(({ matches }) => matches).map(({ id }) => id),
      last: last && { createdAt: last.created_at, id: last.id }
    }
  })
  const ids = found.slice(offset, offset + page.size)
  const rows =
    ids.length === 0
      ? []
      : await db.selectFrom('media').selectAll().where('id', 'in', ids).where('deleted_at', 'is', null).execute()
  const byId = new Map(rows.map((row) => [row.id, mediaOf(row)]))
  return { items: ids.flatMap((id) => byId.get(id) ?? []), total: found.length }
}

/** The ids of the page come from an index by itself; only its own rows are read. */
export function mediaPage (db: Kysely<Database>, filter: MediaFilter, size: number, offset: number) {
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

export function mediaSearchStep (db: Kysely<Database>, filter: MediaFilter, after: Place | undefined, limit: number) {
  return narrowed(db.selectFrom('media'), filter)
    .select([
      'id',
      'created_at',
      contains(sql<string>`coalesce(title_search, lower(title))`, filter.titlePart!).as('matches')
    ])
    .$if(after !== undefined, (query) =>
      query.where(({ eb, refTuple, tuple }) =>
        eb(refTuple('created_at', 'id'), '<', tuple(after!.createdAt, after!.id))
      )
    )
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
}

function narrowed<O> (query: MediaQuery<O>, { ownerId, type }: MediaFilter): MediaQuery<O> {
  query = query.where('deleted_at', 'is', null)
  if (ownerId !== undefined) query = query.where('owner_id', '=', ownerId)
  return type === undefined ? query : query.where('type', '=', type)
}
