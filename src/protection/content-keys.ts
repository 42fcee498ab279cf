import type { Kysely } from 'kysely'
import { randomBytes } from 'node:crypto'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { seal, unseal } from '../secrets/encryption.js'
import type { Keyring } from '../secrets/keyring.js'
import { listContentKeys, updateContentKey } from './content-key-store.js'

const KEY_BYTES = 16
const BATCH = 500
/** Before the id of every media. */
const NO_MEDIA = '00000000-0000-0000-0000-000000000000'

/** A fresh AES-128 key for the segments of one media. */
export function newContentKey (): Buffer {
  return randomBytes(KEY_BYTES)
}

/** A content key as it is stored: under the media sub-key, and bound to its media. */
export function sealContentKey (contentKey: Buffer, mediaId: string, keys: Keyring): string {
  return seal(contentKey, mediaId, keys)
}

/**
 * Returns the content key; previous secrets still open theirs. **Throws** `secret_key_missing` if its secret is not
 * known here, or if it is the key of another media.
 */
export function openContentKey (stored: string, mediaId: string, keys: Keyring): Buffer {
  try {
    return unseal(stored, mediaId, keys)
  } catch (cause) {
    throw new ApiError('secret_key_missing', { cause, headers: { 'retry-after': '30' } })
  }
}

/**
 * Seals the content keys of all media by the current secret, so that the one before need not be known any more. Answers
 * how many were sealed again, and how many can't be opened: their secret is gone, and they cannot be played. With
 * `dryRun` it only counts.
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
