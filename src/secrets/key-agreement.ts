import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import { lockName } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { StartupError } from '../errors.js'
import type { Keyring } from './keyring.js'
import { MINUTE, SECOND, type Clock } from '../time.js'
import { deleteProcessKeys, deleteProcessKeysBefore, insertProcessKeys, listProcessKeys } from './process-key-store.js'

const RENEW_EVERY_MS = 10 * SECOND
/** A process that was killed counts as running for this long. */
const LIVE_MS = MINUTE

const REFUSAL =
  'a running server does not know this SECRET_KEY, or signs with one that is not known here. Roll a new key out in two steps: ' +
  'first add it to SECRET_KEYS_PREVIOUS of every process, then make it SECRET_KEY and keep the old one in SECRET_KEYS_PREVIOUS ' +
  '(docs/security.md). A server that was killed counts as running for a minute'

interface Options {
  db: Kysely<Database>
  keys: Keyring
  now: Clock
  /** No other process uses the database: what the table holds was left by processes that were killed. */
  isOnlyInstance: boolean
}

/**
 * Announces the secrets of this process to the others, and refuses to go on where two running processes could not
 * verify what the other signs: then links of one would be refused by the other, and content keys sealed by one could
 * not be opened by the other. Returns how to take the announcement back. Throws {@link StartupError}.
 */
export async function agreeOnKeys ({ db, keys, now, isOnlyInstance }: Options): Promise<() => Promise<void>> {
  const own = { id: randomUUID(), currentKey: keys.current.id, knownKeys: keys.ids }
  await db.transaction().execute(async (trx) => {
    // Of two that start together, the second sees the first.
    await lockName(trx, 'server_processes')
    await deleteProcessKeysBefore(trx, isOnlyInstance ? Number.MAX_SAFE_INTEGER : now() - LIVE_MS)
    for (const other of await listProcessKeys(trx, now() - LIVE_MS)) {
      if (!other.knownKeys.includes(own.currentKey) || !own.knownKeys.includes(other.currentKey)) {
        throw new StartupError(REFUSAL)
      }
    }
    await insertProcessKeys(trx, own, now())
  })
  let renewing: Promise<void> | undefined
  const renewal = setInterval(() => {
    // One at a time: a slow database is not asked by more and more.
    renewing ??= insertProcessKeys(db, own, now())
      .catch(() => {})
      .finally(() => {
        renewing = undefined
      })
  }, RENEW_EVERY_MS).unref()
  return async () => {
    clearInterval(renewal)
    await renewing
    await deleteProcessKeys(db, own.id).catch(() => {})
  }
}
