import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Keyring } from '../secrets.js'

const KEY_BYTES = 16
/** NIST SP 800-38D: 96 bits is the length to use for GCM. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A fresh AES-128 key for the segments of one media. */
export function newContentKey (): Buffer {
  return randomBytes(KEY_BYTES)
}

/** A content key as it is stored: `<key id>.<base64url>`, AES-256-GCM under the media sub-key and bound to its media. */
export function sealContentKey (contentKey: Buffer, mediaId: string, { current }: Keyring): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', current.key, nonce).setAAD(Buffer.from(mediaId))
  const sealed = Buffer.concat([nonce, cipher.update(contentKey), cipher.final(), cipher.getAuthTag()])
  return `${current.id}.${sealed.toString('base64url')}`
}

/** The content key again; previous secrets still open theirs. Throws if its secret is gone, or it is another media's. */
export function openContentKey (stored: string, mediaId: string, keys: Keyring): Buffer {
  const [id = '', text = ''] = stored.split('.')
  const ring = keys.find(id)
  if (ring === undefined) throw new Error('the secret of this content key is neither SECRET_KEY nor in SECRET_KEYS_PREVIOUS')
  const sealed = Buffer.from(text, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', ring.key, sealed.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(mediaId)).setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
