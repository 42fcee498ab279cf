import { sql, type Kysely } from 'kysely'
import type { Database } from '../database/tables.js'

/**
 * Lists at most `limit` content keys that the key `notSealedBy` did not seal, of media after `afterId`, in the order of
 * ids.
 */
export async function listContentKeys (
  db: Kysely<Database>,
  notSealedBy: string,
  afterId: string,
  limit: number
): Promise<Array<{ id: string; contentKey: string }>> {
  const rows = await db
    .selectFrom('media')
    .select(['id', 'content_key'])
    .where('id', '>', afterId)
    .where(sql<boolean>`substr(content_key, 1, ${notSealedBy.length}) <> ${notSealedBy}`)
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ id: row.id, contentKey: row.content_key! }))
}

/** Replaces the sealed form of a content key, if it is still `before`. */
export async function updateContentKey (
  db: Kysely<Database>,
  id: string,
  before: string,
  contentKey: string
): Promise<void> {
  await db
    .updateTable('media')
    .set({ content_key: contentKey })
    .where('id', '=', id)
    .where('content_key', '=', before)
    .execute()
}
