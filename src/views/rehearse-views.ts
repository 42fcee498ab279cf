import { sql, type Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Database } from '../database/tables.js'
import { insertViewsIn } from './view-store.js'

const NO_VIEWS = { total_views: 0, unique_viewers: 0, revision: 0 }

/** Thrown to roll back the transaction of a rehearsal. */
class Rehearsed extends Error {}

/** Inserts a view of a media that does not exist, on SQLite, and rolls it back. Nothing is written to the file. */
export async function rehearseViews (db: Kysely<Database>): Promise<void> {
  const [mediaId, linkId] = [uuidv7(), uuidv7()]
  const source = { address: '192.0.2.1', addressKey: '192.0.2.1', accountId: null, userAgent: null }
  try {
    await db.transaction().execute(async (trx) => {
      // SQLite would check the foreign key at the commit, and this transaction never commits.
      await sql`pragma defer_foreign_keys = on`.execute(trx)
      await trx.insertInto('view_totals').values({ media_id: mediaId, ...NO_VIEWS }).execute()
      await insertViewsIn(trx, [{ mediaId, linkId, ...source, viewedAt: 0 }])
      throw new Rehearsed()
    })
  } catch (error) {
    if (!(error instanceof Rehearsed)) throw error
  }
}
