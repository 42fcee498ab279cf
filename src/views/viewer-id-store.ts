import { sql, type Kysely, type Transaction } from 'kysely'
import { createHmac, randomBytes } from 'node:crypto'
import { engineOf, lockName } from '../database/dialect.js'
import { findFact, upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import { StartupError } from '../errors.js'
import { seal, unseal } from '../secrets/encryption.js'
import type { Keyring } from '../secrets/keyring.js'
import { anonymousKey, createViewerNames, ERASED, type AddressMode, type ViewerNames } from './viewer-ids.js'
import type { OnProgress } from './view-maintenance.js'

/** The secret that viewers are named by: random, made once, sealed, so that it outlives a rotation of SECRET_KEY. */
const SECRET = 'views.address_secret'
/** The mode that all rows are in. */
const MODE = 'views.addresses'
const SECRET_BYTES = 32
/** What an erasure that is under way makes its names from. */
const ERASURE = 'views.erasure'
/** Some 10 ms of SQLite's one writer. */
const ERASE_BATCH = 1000
/** Below SQLite's 32,766 parameters at three a row. */
const BATCH = 5000
/** Before all ids there are. */
const NO_MEDIA = '00000000-0000-0000-0000-000000000000'
const strictness: Record<AddressMode, number> = { full: 0, truncated: 1, hashed: 2 }

interface NamesOptions {
  db: Kysely<Database>
  mode: AddressMode
  keys(): Keyring
  /** Told while rows that a less strict mode has written are rewritten. */
  onProgress?: OnProgress
}

/**
 * The names of viewers in a mode, after all that the database holds was brought to it: a stricter one rewrites the log
 * and the sets of viewers, exactly; a less strict one changes nothing that is written. From the first mode that is not
 * `full` on, viewers are told apart by keyed hashes, forever, so that no later change counts anyone twice. No other
 * process may write views in another mode meanwhile.
 */
export async function openViewerNames ({ db, mode, keys, onProgress = () => {} }: NamesOptions): Promise<ViewerNames> {
  const names = createViewerNames(mode, await openSecret(db, keys, mode !== 'full'))
  const before = ((await findFact(db, MODE)) as AddressMode | undefined) ?? 'full'
  if (before === mode) return names
  if (strictness[mode] > strictness[before]) {
    await db.deleteFrom('token_views').execute()
    await renameViewers(db, names)
    await renameInLog(db, names, onProgress)
  }
  await upsertFact(db, MODE, mode)
  return names
}

/**
 * The names that a database's viewers have, to look for an address; writes none. Throws {@link StartupError} as
 * {@link openViewerNames}.
 */
export async function findViewerNames (db: Kysely<Database>, keys: () => Keyring): Promise<ViewerNames> {
  return createViewerNames('full', await openSecret(db, keys, false))
}

/** Whether the secret that viewers are told apart by can be opened with these keys, where there is one. */
export async function canOpenViewerSecret (db: Kysely<Database>, keys: Keyring): Promise<boolean> {
  const stored = await findFact(db, SECRET)
  return stored === undefined || unsealed(stored, keys) !== undefined
}

/**
 * Gives up a secret that cannot be opened: it is kept under the id of its key, and the next start makes another one.
 * Every viewer who comes back counts as new then. Returns false, and changes nothing, where the secret can be opened or
 * there is none.
 */
export async function giveUpViewerSecret (db: Kysely<Database>, keys: Keyring): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    await lockName(trx, SECRET)
    const stored = await findFact(trx, SECRET)
    if (stored === undefined || unsealed(stored, keys) !== undefined) return false
    await upsertFact(trx, `${SECRET}.${keyIdOf(stored)}`, stored)
    await trx.deleteFrom('server_facts').where('name', '=', SECRET).execute()
    return true
  })
}

/**
 * Makes a viewer nobody: their log rows lose address, account and user agent, and what counted them once goes on
 * counting them once, under a name that is made from nothing. Counts stay, also in a recount. Safe beside a running
 * server, which waits for a batch at most. A run that is cut off is repeated: it goes on with the names that it had
 * begun to give. Returns how many media and log rows it was.
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

/** A viewer of one media, and the name that they are given. */
interface Erased {
  mediaId: string
  key: string
  nobody: string
}

/**
 * Names are derived from it while a run lasts, so that the next one goes on after a crash. Nothing can be derived when
 * it is gone.
 */
async function openErasure (db: Kysely<Database>): Promise<string> {
  await db
    .insertInto('server_facts')
    .values({ name: ERASURE, value: randomBytes(SECRET_BYTES).toString('base64url') })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return (await findFact(db, ERASURE))!
}

/** Walks the log of the media by its index, and writes only where there is a row to be changed. */
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
    rows += await renameRows(
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

/** What came in meanwhile, and the set of viewers, with all writers of the media held off. */
async function finishErasure (db: Kysely<Database>, one: Erased, afterId: number): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    // The order of every writer of views: the totals first.
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
    const rows = await renameRows(
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

async function renameRows (db: Kysely<Database>, ids: number[], { nobody }: Erased): Promise<number> {
  if (ids.length === 0) return 0
  await db
    .updateTable('views')
    .set({ address: ERASED, address_key: nobody, account_id: null, user_agent: null })
    .where('id', 'in', ids)
    .execute()
  return ids.length
}

async function openSecret (db: Kysely<Database>, keys: () => Keyring, wanted: boolean): Promise<Buffer | undefined> {
  const found = await findFact(db, SECRET)
  if (found === undefined && !wanted) return undefined
  const ring = keys()
  return await db.transaction().execute(async (trx) => {
    await lockName(trx, SECRET)
    const stored = await findFact(trx, SECRET)
    const secret = stored === undefined ? randomBytes(SECRET_BYTES) : unsealed(stored, ring)
    if (secret === undefined) throw new StartupError(lostSecret(keyIdOf(stored!)))
    if (stored === undefined || keyIdOf(stored) !== ring.current.id) {
      await upsertFact(trx, SECRET, seal(secret, SECRET, ring))
    }
    return secret
  })
}

const keyIdOf = (stored: string) => stored.split('.')[0]!

function unsealed (stored: string, keys: Keyring): Buffer | undefined {
  try {
    return unseal(stored, SECRET, keys)
  } catch {
    return undefined
  }
}

function lostSecret (keyId: string): string {
  return (
    `the secret that tells viewers apart is sealed with another SECRET_KEY (key id ${keyId}): set that one, or add ` +
    'it to SECRET_KEYS_PREVIOUS. If it is lost for good, run "playgate give-up-viewers": ' +
    'every viewer who comes back then counts as new'
  )
}

/** Two names of one viewer become one: then they are counted once. */
async function renameViewers (db: Kysely<Database>, names: ViewerNames): Promise<void> {
  let last: { media_id: string; address_key: string } | undefined = { media_id: NO_MEDIA, address_key: '' }
  while (last !== undefined) {
    const { media_id: mediaId, address_key: key }: { media_id: string; address_key: string } = last
    last = await db.transaction().execute(async (trx): Promise<typeof last> => {
      await lockName(trx, MODE)
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
        await renameViewersOf(
          trx,
          id,
          some.filter((row) => row.media_id === id).map((row) => row.address_key),
          names
        )
      }
      return some.at(-1)
    })
  }
}

async function renameViewersOf (
  trx: Transaction<Database>,
  mediaId: string,
  before: string[],
  names: ViewerNames
): Promise<void> {
  await trx.deleteFrom('view_viewers').where('media_id', '=', mediaId).where('address_key', 'in', before).execute()
  const renamed = before.map((addressKey) => ({
    media_id: mediaId,
    address_key: names.rename({ address: '', addressKey }).addressKey
  }))
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('view_viewers')
    .values(renamed)
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

async function renameInLog (db: Kysely<Database>, names: ViewerNames, onProgress: OnProgress): Promise<void> {
  const { newest } = await db
    .selectFrom('views')
    .select((select) => select.fn.max<number | null>('id').as('newest'))
    .executeTakeFirstOrThrow()
  for (let last: number | undefined = 0; last !== undefined;) {
    last = await db.transaction().execute(async (trx) => {
      await lockName(trx, MODE)
      const some = await trx
        .selectFrom('views')
        .select(['id', 'address', 'address_key'])
        .where('id', '>', last!)
        .orderBy('id')
        .limit(BATCH)
        .execute()
      const renamed = some
        .map((row) => ({ row, name: names.rename({ address: row.address, addressKey: row.address_key }) }))
        .filter(({ row, name }) => name.address !== row.address || name.addressKey !== row.address_key)
      if (renamed.length > 0) {
        const values = sql.join(
          renamed.map(({ row, name }) => sql`(cast(${row.id} as bigint), ${name.address}, ${name.addressKey})`)
        )
        await sql`update views set address = renamed.column2, address_key = renamed.column3
          from (values ${values}) as renamed where views.id = renamed.column1`.execute(trx)
      }
      return some.at(-1)?.id
    })
    onProgress(last ?? newest ?? 0, newest ?? 0)
  }
}
