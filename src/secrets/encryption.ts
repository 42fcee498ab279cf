import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Keyring } from './keyring.js'

/** NIST SP 800-38D: 96 bits is the length to use for GCM. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * A secret as the database may hold it: `<key id>.<base64url>`, AES-256-GCM under the ring's current key, bound to
 * `what` it is.
 */
export function seal (secret: Buffer, what: string, { current }: Keyring): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', current.key, nonce).setAAD(Buffer.from(what))
  const sealed = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
  return `${current.id}.${sealed.toString('base64url')}`
}

/**
 * The secret again; previous master secrets still open theirs. Throws if its master secret is gone, or it is bound to
 * something else.
 */
export function unseal (stored: string, what: string, keys: Keyring): Buffer {
  const [id = '', text = ''] = stored.split('.')
  const ring = keys.find(id)
  if (ring === undefined) throw new Error('the secret of this key is neither SECRET_KEY nor in SECRET_KEYS_PREVIOUS')
  const sealed = Buffer.from(text, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', ring.key, sealed.subarray(0, NONCE_BYTES))
    .setAAD(Buffer.from(what))
    .setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
