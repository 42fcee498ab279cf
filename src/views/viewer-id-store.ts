import { sql, type Kysely, type Transaction } from 'kysely'
import { NIL } from 'uuid'
import { advisoryLock } from '../database/dialect.js'
import { findFact, upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import type { Keyring } from '../secrets/keyring.js'
import type { OnProgress } from './view-maintenance.js'
import { ViewerIds, type AddressMode } from './viewer-ids.js'
import { openViewerSecret } from './viewer-secret-store.js'

/** The name of the fact with the address mode of all rows. */
const MODE = 'views.addresses'
/** Rows in one statement: at 3 parameters a row, it stays below SQLite's maximum of 32,766 parameters. */
const BATCH = 5000
/** Sorts before the id of every media. */
const NO_MEDIA = NIL
const strictness: Record<AddressMode, number> = { full: 0, truncated: 1, hashed: 2 }

interface Options {
  db: Kysely<Database>
  mode: AddressMode
  keys(): Keyring
  /** Called while rows of a less strict mode are converted. */
  onProgress?: OnProgress
}

/**
 * Returns the viewer ids of a mode. If the mode is stricter than the last one, it first converts the log and the
 * viewers of each media. Counts of unique viewers stay exact. A less strict mode changes no row. After the first mode
 * other than `full`, keys stay HMACs forever, so a later change of the mode counts no viewer twice. During the
 * conversion, no other process may write views in another mode.
 */
export async function openViewerIds ({ db, mode, keys, onProgress = () => {} }: Options): Promise<ViewerIds> {
  const viewerIds = new ViewerIds(mode, await openViewerSecret(db, keys, mode !== 'full'))
  const before = ((await findFact(db, MODE)) as AddressMode | undefined) ?? 'full'
  if (before === mode) return viewerIds
  if (strictness[mode] > strictness[before]) {
    await db.deleteFrom('token_views').execute()
    await convertViewers(db, viewerIds)
    await convertLog(db, viewerIds, onProgress)
  }
  await upsertFact(db, MODE, mode)
  return viewerIds
}

/** Returns the viewer ids for lookups of an address. It creates no secret. **Throws** as {@link openViewerIds} does. */
export async function findViewerIds (db: Kysely<Database>, keys: () => Keyring): Promise<ViewerIds> {
  return new ViewerIds('full', await openViewerSecret(db, keys, false))
}

/** Converts the viewers of all media. If two keys become the same key, their viewer is counted once. */
async function convertViewers (db: Kysely<Database>, viewerIds: ViewerIds): Promise<void> {
  let last: { media_id: string; address_key: string } | undefined = { media_id: NO_MEDIA, address_key: '' }
  while (last !== undefined) {
    const { media_id: mediaId, address_key: key }: { media_id: string; address_key: string } = last
    last = await db.transaction().execute(async (trx): Promise<typeof last> => {
      await advisoryLock(trx, MODE)
      const some = await trx
        .selectFrom('view_viewers')
        .selectAll()
        .where('address_key', 'not like', '#%')
        .where(({ eb, refTuple, tuple }) => eb(refTuple('media_id', 'address_key'), '>', tuple(mediaId, key)))
        .orderBy('media_id')
        .orderBy('address_key')
        .limit(BATCH)
        .execute()
      for (const id of new Set(some.map((row) => row.media_id))) {
        await convertViewersOf(
          trx,
          id,
          some.filter((row) => row.media_id === id).map((row) => row.address_key),
          viewerIds
        )
      }
      return some.at(-1)
    })
  }
}

async function convertViewersOf (
  trx: Transaction<Database>,
  mediaId: string,
  before: string[],
  viewerIds: ViewerIds
): Promise<void> {
  await trx.deleteFrom('view_viewers').where('media_id', '=', mediaId).where('address_key', 'in', before).execute()
  const converted = before.map((addressKey) => ({
    media_id: mediaId,
    address_key: viewerIds.convert({ address: '', addressKey }).addressKey
  }))
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('view_viewers')
    .values(converted)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  const twice = before.length - Number(numInsertedOrUpdatedRows)
  if (twice === 0) return
  await trx
    .updateTable('view_totals')
    .set((set) => ({ unique_viewers: set('unique_viewers', '-', twice), revision: set('revision', '+', 1) }))
    .where('media_id', '=', mediaId)
    .execute()
}

async function convertLog (db: Kysely<Database>, viewerIds: ViewerIds, onProgress: OnProgress): Promise<void> {
  const { newest } = await db
    .selectFrom('views')
    .select((select) => select.fn.max<number | null>('id').as('newest'))
    .executeTakeFirstOrThrow()
  for (let last: number | undefined = 0; last !== undefined;) {
    last = await db.transaction().execute(async (trx) => {
      await advisoryLock(trx, MODE)
      const some = await trx
        .selectFrom('views')
        .select(['id', 'address', 'address_key'])
        .where('id', '>', last!)
        .orderBy('id')
        .limit(BATCH)
        .execute()
      const converted = some
        .map((row) => ({ row, viewer: viewerIds.convert({ address: row.address, addressKey: row.address_key }) }))
        .filter(({ row, viewer }) => viewer.address !== row.address || viewer.addressKey !== row.address_key)
      if (converted.length > 0) {
        const values = sql.join(
          converted.map(({ row, viewer }) => sql`(cast(${row.id} as bigint), ${viewer.address}, ${viewer.addressKey})`)
        )
        await sql`update views set address = renamed.column2, address_key = renamed.column3
          from (values ${values}) as renamed where views.id = renamed.column1`.execute(trx)
      }
      return some.at(-1)?.id
    })
    onProgress(last ?? newest ?? 0, newest ?? 0)
  }
}
