import type { Kysely } from 'kysely'
import { randomBytes } from 'node:crypto'
import { advisoryLock } from '../database/dialect.js'
import { findFact, upsertFact } from '../database/fact-store.js'
import type { Database } from '../database/tables.js'
import { StartupError } from '../errors.js'
import { seal, unseal } from '../secrets/encryption.js'
import type { Keyring } from '../secrets/keyring.js'

/** The name of the fact with the secret of viewer ids. It is sealed, so that it survives a rotation of SECRET_KEY. */
const SECRET = 'views.address_secret'
const SECRET_BYTES = 32

/**
 * Returns the secret of viewer ids. If it does not exist, creates it with `create`, or returns undefined. Seals it
 * again if SECRET_KEY was rotated. **Throws** {@link StartupError} if no known key can open it.
 */
export async function openViewerSecret (
  db: Kysely<Database>,
  keys: () => Keyring,
  create: boolean
): Promise<Buffer | undefined> {
  const found = await findFact(db, SECRET)
  if (found === undefined && !create) return undefined
  const ring = keys()
  return await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, SECRET)
    const stored = await findFact(trx, SECRET)
    const secret = stored === undefined ? randomBytes(SECRET_BYTES) : unsealed(stored, ring)
    if (secret === undefined) throw new StartupError(lostSecret(keyIdOf(stored!)))
    if (stored === undefined || keyIdOf(stored) !== ring.current.id) {
      await upsertFact(trx, SECRET, seal(secret, SECRET, ring))
    }
    return secret
  })
}

/** Returns whether these keys can open the secret. True if it does not exist. */
export async function canOpenViewerSecret (db: Kysely<Database>, keys: Keyring): Promise<boolean> {
  const stored = await findFact(db, SECRET)
  return stored === undefined || unsealed(stored, keys) !== undefined
}

/**
 * Renames a secret that cannot be opened, so that the next start creates a new one. The new name includes the id of its
 * key. Every returning viewer then counts as new. Returns false, and changes nothing, if the secret can be opened or
 * does not exist.
 */
export async function giveUpViewerSecret (db: Kysely<Database>, keys: Keyring): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    await advisoryLock(trx, SECRET)
    const stored = await findFact(trx, SECRET)
    if (stored === undefined || unsealed(stored, keys) !== undefined) return false
    await upsertFact(trx, `${SECRET}.${keyIdOf(stored)}`, stored)
    await trx.deleteFrom('server_facts').where('name', '=', SECRET).execute()
    return true
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
    'failed to open the secret that identifies viewers: it was encrypted with another SECRET_KEY ' +
    `(key id ${keyId}); add that key to SECRET_KEYS_PREVIOUS. If the key is lost, run "playgate give-up-viewers": ` +
    'each returning viewer then counts as new'
  )
}
