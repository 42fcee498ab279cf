import type { Kysely } from 'kysely'
import { randomBytes } from 'node:crypto'
import { NIL } from 'uuid'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { seal, unseal } from '../secrets/encryption.js'
import type { Keyring } from '../secrets/keyring.js'
import { listContentKeys, updateContentKey } from './content-key-store.js'

const KEY_BYTES = 16
const BATCH = 500
/** Sorts before the id of every media. */
const NO_MEDIA = NIL

/** Returns a new AES-128 key for the segments of one media. */
export function newContentKey (): Buffer {
  return randomBytes(KEY_BYTES)
}

/** Seals a content key for the database, with the current media key. The result is bound to its media. */
export function sealContentKey (contentKey: Buffer, mediaId: string, keys: Keyring): string {
  return seal(contentKey, mediaId, keys)
}

/**
 * Returns the content key, also if it was sealed with a previous secret. **Throws** `secret_key_missing` if the secret
 * is unknown here, or if the key belongs to another media.
 */
export function openContentKey (stored: string, mediaId: string, keys: Keyring): Buffer {
  try {
    return unseal(stored, mediaId, keys)
  } catch (cause) {
    throw new ApiError('secret_key_missing', { cause, headers: { 'retry-after': '30' } })
  }
}

/**
 * Seals the content keys of all media with the current secret, so that previous secrets are no longer needed. Returns
 * the number of resealed keys, and the number of lost keys. The secret of a lost key is gone, so its media cannot be
 * played. With `dryRun`, it only counts.
 */
export async function resealContentKeys (
  db: Kysely<Database>,
  keys: Keyring,
  { dryRun = false } = {}
): Promise<{ resealed: number; lost: number }> {
  const count = { resealed: 0, lost: 0 }
  for (let after: string | undefined = NO_MEDIA; after !== undefined;) {
    const some = await listContentKeys(db, keys.current.id, after, BATCH)
    for (const { id, contentKey } of some) {
      let opened: Buffer
      try {
        opened = openContentKey(contentKey, id, keys)
      } catch {
        count.lost++
        continue
      }
      if (!dryRun) await updateContentKey(db, id, contentKey, sealContentKey(opened, id, keys))
      count.resealed++
    }
    after = some.at(-1)?.id
  }
  return count
}
