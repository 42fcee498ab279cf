import { randomBytes } from 'node:crypto'
import { seal, unseal } from '../sealed.js'
import type { Keyring } from '../secrets.js'

const KEY_BYTES = 16

/** A fresh AES-128 key for the segments of one media. */
export function newContentKey (): Buffer {
  return randomBytes(KEY_BYTES)
}

/** A content key as it is stored: under the media sub-key, and bound to its media. */
export function sealContentKey (contentKey: Buffer, mediaId: string, keys: Keyring): string {
  return seal(contentKey, mediaId, keys)
}

/** The content key again; previous secrets still open theirs. Throws if its secret is gone, or it is another media's. */
export function openContentKey (stored: string, mediaId: string, keys: Keyring): Buffer {
  return unseal(stored, mediaId, keys)
}
