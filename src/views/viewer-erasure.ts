import type { Kysely } from 'kysely'
import { createHmac, randomBytes } from 'node:crypto'
import { engineOf } from '../database/dialect.js'
import { findFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import type { OnProgress } from './view-maintenance.js'
import { anonymousKey, ERASED } from './viewer-ids.js'

/** The name of the fact with the secret of a running erasure. After its deletion, no key can be traced to a viewer. */
const ERASURE = 'views.erasure'
const SECRET_BYTES = 32
/** One batch occupies SQLite's only writer for about 10 ms. */
const ERASE_BATCH = 1000

/**
 * Erases a viewer. It removes address, account and user agent from the log rows of the viewer, and replaces the key by
 * a random one. All counts stay the same, also after a recount. Safe while a server runs: the server waits for at most
 * one batch. If a run was interrupted, repeat it: it continues with the same keys. Returns the numbers of media and of
 * log rows.
 */
export async function eraseViewer (
  db: Kysely<Database>,
  addressKeys: string[],
  onProgress: OnProgress = () => {}
): Promise<{ media: number; rows: number }> {
  const secret = await openErasure(db)
  const { newest } = await db
    .selectFrom('views')
    .select((select) => select.fn.max<number | null>('id').as('newest'))
    .executeTakeFirstOrThrow()
  const seen = await db
    .selectFrom('view_viewers')
    .selectAll()
    .where('address_key', 'in', addressKeys)
    .orderBy('media_id')
    .execute()
  let rows = 0
  for (const [index, { media_id: mediaId, address_key: key }] of seen.entries()) {
    const nobody = anonymousKey(createHmac('sha256', secret).update(`${mediaId} ${key}`).digest())
    const one = { mediaId, key, nobody }
    rows += (await eraseFromLog(db, one)) + (await finishErasure(db, one, (newest ?? 0) - ERASE_BATCH))
    onProgress(index + 1, seen.length)
  }
  await db.deleteFrom('server_facts').where('name', '=', ERASURE).execute()
  return { media: new Set(seen.map((row) => row.media_id)).size, rows }
}

/** A viewer of one media: the key, and the random key that replaces it. */
interface Erased {
  mediaId: string
  key: string
  nobody: string
}

/** Returns the secret of the current run. A run after a crash derives the same keys from it. */
async function openErasure (db: Kysely<Database>): Promise<string> {
  await db
    .insertInto('server_facts')
    .values({ name: ERASURE, value: randomBytes(SECRET_BYTES).toString('base64url') })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return (await findFact(db, ERASURE))!
}

/** Walks the log of the media by its index, and updates only the rows of the viewer. */
async function eraseFromLog (db: Kysely<Database>, one: Erased): Promise<number> {
  let rows = 0
  let last: { viewed_at: number; id: number } | undefined = { viewed_at: -1, id: 0 }
  while (last !== undefined) {
    const { viewed_at: viewedAt, id }: { viewed_at: number; id: number } = last
    const some: Array<{ id: number; viewed_at: number; address_key: string }> = await db
      .selectFrom('views')
      .select(['id', 'viewed_at', 'address_key'])
      .where('media_id', '=', one.mediaId)
      .where(({ eb, refTuple, tuple }) => eb(refTuple('viewed_at', 'id'), '>', tuple(viewedAt, id)))
      .orderBy('viewed_at')
      .orderBy('id')
      .limit(ERASE_BATCH)
      .execute()
    rows += await eraseRows(
      db,
      some.filter((row) => row.address_key === one.key).map((row) => row.id),
      one
    )
    last = some.length === ERASE_BATCH ? some.at(-1) : undefined
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
  return rows
}

/** Blocks all writers of the media by a lock. Then erases the rows written since the walk, and the viewer. */
async function finishErasure (db: Kysely<Database>, one: Erased, afterId: number): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    // Every writer of views locks the totals first.
    await trx
      .selectFrom('view_totals')
      .select('media_id')
      .where('media_id', '=', one.mediaId)
      .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
      .execute()
    const late = await trx
      .selectFrom('views')
      .select(['id', 'media_id'])
      .where('id', '>', afterId)
      .where('address_key', '=', one.key)
      .execute()
    const rows = await eraseRows(
      trx,
      late.filter((row) => row.media_id === one.mediaId).map((row) => row.id),
      one
    )
    await trx
      .deleteFrom('view_viewers')
      .where('media_id', '=', one.mediaId)
      .where('address_key', '=', one.key)
      .execute()
    await trx.deleteFrom('token_views').where('media_id', '=', one.mediaId).where('address_key', '=', one.key).execute()
    await trx
      .insertInto('view_viewers')
      .values({ media_id: one.mediaId, address_key: one.nobody })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    return rows
  })
}

async function eraseRows (db: Kysely<Database>, ids: number[], { nobody }: Erased): Promise<number> {
  if (ids.length === 0) return 0
  await db
    .updateTable('views')
    .set({ address: ERASED, address_key: nobody, account_id: null, user_agent: null })
    .where('id', 'in', ids)
    .execute()
  return ids.length
}
