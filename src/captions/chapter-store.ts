import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import type { Chapter } from './schema.js'

/** Stores the chapters of a media in place of earlier ones. */
export async function insertChapters (trx: Transaction<Database>, mediaId: string, chapters: Chapter[]): Promise<void> {
  const list = JSON.stringify(chapters)
  await trx
    .insertInto('chapters')
    .values({ media_id: mediaId, list })
    .onConflict((conflict) => conflict.column('media_id').doUpdateSet({ list }))
    .execute()
}

/** Returns the chapters of a media in order. The list is empty if it has none. */
export async function findChapters (db: Kysely<Database>, mediaId: string): Promise<Chapter[]> {
  const row = await db.selectFrom('chapters').select('list').where('media_id', '=', mediaId).executeTakeFirst()
  return row === undefined ? [] : (JSON.parse(row.list) as Chapter[])
}

/** Deletes the chapters of a media. Returns false if it has none. */
export async function deleteChapters (db: Kysely<Database>, mediaId: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('chapters').where('media_id', '=', mediaId).executeTakeFirst()
  return numDeletedRows > 0n
}
